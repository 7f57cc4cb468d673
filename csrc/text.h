/*
** Text that came from outside.  The name of a file may hold any byte but zero; what we
** tell of it, in JSON or on a terminal, is UTF-8 and controls nothing.
*/
#ifndef ASYNC_TEXT_H
#define ASYNC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What stands for a byte that is part of no character. */
#define ASYNC_TEXT_REPLACEMENT "\xef\xbf\xbd"

/* The bytes of the UTF-8 character that text begins with, 1 to 4, and its number; 0 if
** it begins with none. */
int async_text_character(const char *text, uint32_t *number);

/* Is it one of those that move cursors and colour screens? */
bool async_text_is_control(uint32_t number);

/* A copy of text with "?" for what is no character, or a control character; cut, at the
** end of one, to n - 1 bytes. */
void async_text_printable(const char *text, char *out, size_t n);

#endif /* ASYNC_TEXT_H */
