/*
** The parameters, behind sqlite3async_set(), _get() and _control().
*/
#ifndef ASYNC_PARAMETERS_H
#define ASYNC_PARAMETERS_H

/* A program that starts writers of ours has other defaults than one that knows the original's
** functions only.  Under the mutex of api.h.  What was set stays. */
void async_parameters_use_defaults(void);

#endif /* ASYNC_PARAMETERS_H */
