/**
 * Faults to be planted in the C core, one at a time: the native tests must go red with each.
 * `./run mutants` plants them all and says which test killed which.
 *
 * @module
 */

export interface Mutant {
  name: string;
  /** A file of csrc/, and the text in it, found once, that the fault takes the place of. */
  file: string;
  from: string;
  to: string;
  /** The native test programs to be tried first; a test's name may follow: "lock_test early". */
  killers: string[];
}

export const mutants: Mutant[] = [
  // ---- What is synced, and when ----
  {
    name: "a flush syncs no file",
    file: "apply.c",
    from: "while ((file = first_dirty(stream)) != NULL) {",
    to: "while (false && (file = first_dirty(stream)) != NULL) {",
    killers: ["power_test", "flush_test"],
  },
  {
    name: "a flush does not sync the folder",
    file: "apply.c",
    from: "if (!stream->directory_dirty) return ASYNC_STEP_DONE;",
    to: "return ASYNC_STEP_DONE;",
    killers: ["power_test", "flush_test"],
  },
  {
    name: "the sync of a WAL's header folds like any other",
    file: "file.c",
    from: "if (async_wal_sync_header(&stream->wal)) return false;",
    to: "async_wal_sync_header(&stream->wal);",
    killers: ["wal_order_test", "power_test"],
  },
  {
    name: "what must wait for the WAL's sync does not",
    file: "apply.c",
    from: "if (op->wal_sync > stream->durable.seq) return step_flush(stream, due_us);",
    to: "",
    killers: ["wal_order_test", "power_test"],
  },
  {
    name: "a sync that is owed is never asked for",
    file: "apply.c",
    from:
      "if (database != NULL && database->sync_owed) return step_owed(stream, database, due_us);",
    to: "",
    killers: ["power_test", "wal_order_test"],
  },
  {
    name: "a journal's syncs are dropped",
    file: "file.c",
    from: "return push_alone(file, ASYNC_OP_SYNC, 0, flags);",
    to: "return file->role == ASYNC_ROLE_JOURNAL ? SQLITE_OK\n" +
      "                                         : push_alone(file, ASYNC_OP_SYNC, 0, flags);",
    killers: ["power_test", "prefix_test"],
  },
  {
    name: "the write behind a sync is applied before it",
    file: "apply.c",
    from: "  case ASYNC_OP_SYNC:\n    return file->nameless",
    to: "  case ASYNC_OP_SYNC:\n" +
      "    if (op->next != NULL && op->next->kind == ASYNC_OP_WRITE)\n" +
      "      call_parent(stream, op->next, moved);\n" +
      "    return file->nameless",
    killers: ["power_test", "prefix_test"],
  },
  {
    name: "what a sync beside the writer may have missed passes for durable",
    file: "beside.c",
    from: "if (all && mark.seq > stream->durable.seq) async_stream_publish_durable(stream, mark);",
    to: "mark = stream->applied;\n" +
      "    if (all && mark.seq > stream->durable.seq) async_stream_publish_durable(stream, mark);",
    killers: ["beside_test", "power_test"],
  },
  {
    name: "a folder that is being synced passes for synced",
    file: "beside.c",
    from: "stream->directory_dirty || stream->directory_syncing;",
    to: "stream->directory_dirty;",
    killers: ["beside_test"],
  },
  {
    name: "changes that came during a sync pass for synced",
    file: "retire.c",
    from: "if (file->changes.by_ops == changes.by_ops) {",
    to: "{",
    killers: ["beside_test", "power_test"],
  },
  {
    name: "the journal's sync is forgotten when its file is made anew",
    file: "retire.c",
    from: "if (!file->gone) async_file_make_dirty(file);",
    to: "",
    killers: ["flush_test", "power_test"],
  },
  {
    name: "a WAL that was found on disk passes for synced",
    file: "name.c",
    from: "if (!defer && file->role == ASYNC_ROLE_WAL) doubt_wal(file);",
    to: "",
    killers: ["wal_order_test", "power_test"],
  },
  {
    name: "a checkpoint copies before the WAL is synced",
    file: "checkpoint.c",
    from: "wal_is_synced = rc == SQLITE_OK;",
    to: "wal_is_synced = true;",
    killers: ["beside_test", "checkpoint_test", "power_test"],
  },
  {
    name: "what a checkpoint copied past the queue is not noted",
    file: "file.c",
    from: "async_file_note_backfill(file, offset, offset + n);",
    to: "",
    killers: ["beside_test", "checkpoint_test", "power_test"],
  },
  {
    name: "frames are destroyed though the database was never synced",
    file: "retire.c",
    from: "database != NULL && database->backfilled)",
    to: "database != NULL && false)",
    killers: ["wal_order_test", "power_test"],
  },
  {
    name: "maxDelayMs asks for nothing",
    file: "stream.c",
    from: "if (max_delay_us <= 0 || since_us == 0) return 0;",
    to: "if (max_delay_us >= 0 || since_us == 0) return 0;",
    killers: ["flush_test"],
  },

  {
    name: "a database shrinks before its journal's end is durable",
    file: "apply.c",
    from: "if (must_flush_before(stream, op)) return step_flush(stream, due_us);",
    to: "",
    killers: ["power_test"],
  },

  {
    name: "a database shrinks before its journal's truncation is durable",
    file: "apply.c",
    from: "(stream->directory_dirty || first_dirty(stream) != NULL)",
    to: "stream->directory_dirty",
    killers: ["flush_test"],
  },

  // ---- What a read sees ----
  {
    name: "a queued truncation does not hide the disk",
    file: "file.c",
    from: "    note_truncate(file, stream->queue.tail);\n",
    to: "",
    killers: ["file_test", "differential_test"],
  },
  {
    name: "a truncation leaves the overlay as it was",
    file: "file.c",
    from: "async_overlay_truncate(&file->overlay, size, file->size);",
    to: "",
    killers: ["file_test", "differential_test"],
  },
  {
    name: "an older write shows through a newer one",
    file: "overlay.c",
    from: "    } else if (old->start < start) {\n      old->end = start;",
    to: "    } else if (old->start < start) {\n      old->start += 0;",
    killers: ["overlay_test", "file_test"],
  },
  {
    name: "a read of the disk is never stale",
    file: "retire.c",
    from: "if (read->start < end && start < read->end) read->stale = true;",
    to: "",
    killers: ["file_test"],
  },
  {
    name: "a read past the end leaves what the buffer had",
    file: "file.c",
    from: "memset((unsigned char *)buf + inside, 0, (size_t)(n - inside));",
    to: "",
    killers: ["file_test", "differential_test"],
  },
  {
    name: "whether a journal exists only the disk knows",
    file: "name.c",
    from: "bool known = stream->error.code == SQLITE_OK && (queued || stream->moved);",
    to: "bool known = false;",
    killers: ["file_test", "differential_test"],
  },
  {
    name: "merged writes grow without bound",
    file: "queue.c",
    from: "tail->offset + tail->length != offset || tail->length + n > ASYNC_WRITE_MAX",
    to: "tail->offset + tail->length != offset",
    killers: ["queue_test", "file_test"],
  },

  // ---- Locks ----
  {
    name: "the file lock is given back before the queue is dry",
    file: "lock.c",
    from: "if (!dry) return SQLITE_OK;",
    to: "",
    killers: ["lock_test", "process_test"],
  },
  {
    name: "a WAL database's lock lets other processes read",
    file: "lock.c",
    from: "if (rc == SQLITE_OK && lock->wal) {",
    to: "if (false) {",
    killers: ["release_test", "wal_test"],
  },
  {
    name: "a second connection may write at the same time",
    file: "lock.c",
    from: "bool other_writer = lock->writer != NULL && lock->writer != holder;",
    to: "bool other_writer = lock->writer != NULL && lock->writer != holder && false;",
    killers: ["lock_test"],
  },
  {
    name: "who writes does not wait for readers to go",
    file: "lock.c",
    from: "rc = lock->shared > 1 ? SQLITE_BUSY : raise_os_lock(stream, SQLITE_LOCK_EXCLUSIVE);",
    to: "rc = raise_os_lock(stream, SQLITE_LOCK_EXCLUSIVE);",
    killers: ["lock_test"],
  },
  {
    name: "steady commits starve other processes",
    file: "lock.c",
    from: "if (!async_config.lock_files) return;\n  int64_t now_us",
    to: "if (async_config.lock_files || true) return;\n  int64_t now_us",
    killers: ["lock_test", "process_test"],
  },
  {
    name: "a reader's lock in the wal-index stops nobody",
    file: "walindex.c",
    from: "if (!exclusive || index->shared[i] == 0) return OBSTACLE_NONE;",
    to: "if (!exclusive || index->shared[i] >= 0) return OBSTACLE_NONE;",
    killers: ["walindex_test", "wal_test"],
  },
  {
    name: "connections trust their pages after another process had the database",
    file: "walindex.c",
    from: "words[HEADER_CHANGES] += GENERATION_STEP * index->generation;",
    to: "",
    killers: ["release_test"],
  },
  {
    name: "the database is handed over with commits not durable",
    file: "lock.c",
    from: "bool dry = stream->queue.head == NULL && stream->durable.seq == stream->applied.seq;",
    to: "bool dry = stream->queue.head == NULL;",
    killers: ["release_test"],
  },

  {
    name: "the file lock is kept when the queue is dry",
    file: "apply.c",
    from: "    async_lock_settle(stream);  /* first: what carries it may be closed next */\n",
    to: "",
    killers: ["lock_test"],
  },

  // ---- Order of several databases ----
  {
    name: "a stream passes a fence before the others have come",
    file: "fence.c",
    from: "} else if (fence->waiting_for == 0 || fence->cancelled) {",
    to: "} else {",
    killers: ["super_test", "power_test"],
  },
  {
    name: "a super-journal is deleted though a database failed",
    file: "fence.c",
    from: "if (fence->code != SQLITE_OK) {\n    state = ASYNC_FENCE_BROKEN;",
    to: "if (false) {\n    state = ASYNC_FENCE_BROKEN;",
    killers: ["super_test", "error_test"],
  },
  {
    name: "a super-journal is deleted without a fence before it",
    file: "super.c",
    from: "int rc = push_fence(home, super, NULL);\n  return rc",
    to: "int rc = SQLITE_OK;\n  return rc",
    killers: ["super_test", "power_test"],
  },

  {
    name: "what a found super-journal names waits for the others",
    file: "fence.c",
    from: "if (fence->waiter != NULL && fence->waiter != stream) {",
    to: "if (false) {",
    killers: ["hostile_test"],
  },

  // ---- Errors and full disks ----
  {
    name: "a sync that failed passes for done",
    file: "apply.c",
    from: "  if (rc != SQLITE_OK) {\n    op->under_way = false;",
    to: "  if (rc != SQLITE_OK && !syncs) {\n    op->under_way = false;",
    killers: ["error_test"],
  },
  {
    name: "a flush whose sync failed passes for done",
    file: "apply.c",
    from: "  file->in_use--;\n  if (rc != SQLITE_OK) {",
    to: "  file->in_use--;\n  if (false) {",
    killers: ["flush_test", "error_test"],
  },
  {
    name: "a sync is tried again after it failed",
    file: "failure.c",
    from: "if (op->kind == ASYNC_OP_SYNC) return SQLITE_OK;",
    to: "",
    killers: ["error_test"],
  },
  {
    name: "a full disk is an error at once",
    file: "apply.c",
    from: "if (shortage != SQLITE_OK) {",
    to: "if (false) {",
    killers: ["error_test"],
  },
  {
    name: "a journal that cannot be made for the moment fails the database",
    file: "failure.c",
    from: "if (shortage == ASYNC_OS_SHORTAGE_NONE && op->kind == ASYNC_OP_CREATE && !moved) {",
    to: "if (false) {",
    killers: ["error_test descriptors", "io_fault_test"],
  },
  {
    name: "a journal that can never be made is waited for",
    file: "name.c",
    from: "return async_os_is_absent(file->path) ? async_os_try_to_create(file->path) : -1;",
    to: "return 0;",
    killers: ["error_test at_once"],
  },
  {
    name: "a folder that cannot be opened for the moment fails the database",
    file: "apply.c",
    from: "if (error == ASYNC_OS_NOT_TRIED) {",
    to: "if (false) {",
    killers: ["error_test descriptors"],
  },
  {
    name: "calls on a database that failed succeed",
    file: "stream.c",
    from: "if (stream->error.code != SQLITE_OK) stream->error_told = true;",
    to: "if (stream->error.code != SQLITE_OK) return SQLITE_OK;",
    killers: ["error_test"],
  },

  // ---- Writers: who is woken ----
  {
    name: "a commit signals though a writer naps",
    file: "scheduler.c",
    from: "if (how == ASYNC_WAKE_NOW || async_scheduler.napping == 0) async_scheduler_delegate();",
    to: "async_scheduler_delegate();",
    killers: ["pool_test naps_wakes_nobody"],
  },
  {
    name: "who waits does not end a nap",
    file: "scheduler.c",
    from: "if (how == ASYNC_WAKE_NOW) async_scheduler_delegate();",
    to: "",
    killers: ["pool_test who_waits"],
  },
  {
    name: "nobody watches what will be due",
    file: "scheduler.c",
    from: "  return runner != NULL;\n",
    to: "  return true;\n",
    killers: ["help_test what_comes_in", "pool_test", "explore_test"],
  },
  {
    name: "a writer is woken for each further task, and none for the first",
    file: "scheduler.c",
    from: "if (due || async_scheduler.ready.count > async_scheduler.coming) {",
    to: "if (due || async_scheduler.ready.count > async_scheduler.coming + 1) {",
    killers: ["pool_test", "explore_test"],
  },
  {
    name: "a writer naps without looking again at what was asked for meanwhile",
    file: "writer.c",
    from:
      "    async_arena_prepare_spare(); /* if there is no memory it is tried for LINGER_US */\n" +
      "    enter();\n",
    to: "    async_arena_prepare_spare();\n    enter();\n" +
      "    async_scheduler_nap(runner, poll_us);\n",
    killers: ["explore_pool_test"],
  },
  {
    name: "a writer rests without looking again at what it was told meanwhile",
    file: "writer.c",
    from: "async_scheduler.ended != ended || shall_return(number);",
    to: "async_scheduler.ended != ended;",
    killers: ["pool_test"],
  },
  {
    name: "a surplus writer goes on",
    file: "writer.c",
    from: "return number >= async_config.writers;",
    to: "return number >= 16 + async_config.writers;",
    killers: ["pool_test there_are_as_many"],
  },
  {
    name: "while one pauses after an op another takes the database",
    file: "writer.c",
    from: "  if (slow && outcome == ASYNC_RUN_MORE) " +
      "pause_after_op(stream, number);\n  end_run(stream, outcome, due_us);\n",
    to: "  end_run(stream, outcome, due_us);\n" +
      "  if (slow && outcome == ASYNC_RUN_MORE) pause_after_op(stream, number);\n",
    killers: ["pool_test the_delay"],
  },
  {
    name: "the overlay takes what only follows in the file for a continuation",
    file: "overlay.c",
    from: "old->data + (old->end - old->start) == data",
    to: "data != NULL",
    killers: ["overlay_test"],
  },

  // ---- Routes ----
  {
    name: "a route is taken back while a database is being opened by it",
    file: "router.c",
    from: "if (rc == SQLITE_OK && route->users > 0) rc = SQLITE_BUSY;",
    to: "",
    killers: ["explore_route_test"],
  },
  {
    name: "a database is opened by a route that is being taken back",
    file: "router.c",
    from: "while (route != NULL && route->leaving && !async_forked) {",
    to: "while (false) {",
    killers: ["explore_route_test"],
  },

  // ---- Bounds, threads, the end ----
  {
    name: "a close that is refused leaves the checkpointer stopped",
    file: "lifecycle.c",
    from: "if (changes->stopped_checkpointer) async_checkpoint_start();",
    to: "",
    killers: ["checkpoint_test refused"],
  },
  {
    name: "a forked child looks for a path among the streams",
    file: "vfs.c",
    from: "if (async_forked) return rc;",
    to: "",
    killers: ["exit_test behind the router"],
  },
  {
    name: "the routes' mutex may be held when the process forks",
    file: "router.c",
    from: "{ async_mutex_enter(&router_mutex); }\n" +
      "void async_router_after_fork(void) { async_mutex_leave(&router_mutex); }",
    to: "{}\nvoid async_router_after_fork(void) {}",
    killers: ["exit_test behind the router"],
  },
  {
    name: "the queue has no bound",
    file: "stream.c",
    from: "return max <= 0 || stream->queue.bytes + n <= max || stream->queue.bytes == 0;",
    to: "return max >= 0 || stream->queue.bytes + n <= max || stream->queue.bytes == 0;",
    killers: ["bound_test"],
  },
  {
    name: "a full queue refuses nobody",
    file: "handle.c",
    from: "return async_config.on_queue_full == SQLITEASYNC_FULL_BUSY ? SQLITE_BUSY : SQLITE_OK;",
    to: "return SQLITE_OK;",
    killers: ["bound_test"],
  },
  {
    name: "a wake that comes during a run is lost",
    file: "scheduler.c",
    from: "task->state = ASYNC_TASK_RUNNING_WOKEN;",
    to: "break;",
    killers: ["explore_test", "thread_test"],
  },
  {
    name: "a sync beside the writer tells it nothing",
    file: "beside.c",
    from: "  /* The writer may have come to where it must wait for this, and sleeps. */\n" +
      "  async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);",
    to: "",
    killers: ["explore_wal_test", "beside_test"],
  },
  {
    name: "a stream ends before its last commits are durable",
    file: "registry.c",
    from: "return stream->references == 0 && async_stream_is_settled(stream) &&",
    to: "return stream->references == 0 && stream->queue.head == NULL &&",
    killers: ["flush_test", "power_test"],
  },
  {
    name: "the end of the process waits for nothing",
    file: "exit.c",
    from: "if (!async_forked && async_config.drain_on_exit) drain();",
    to: "",
    killers: ["exit_test"],
  },
  {
    name: "at a signal commits go on while the queue is written",
    file: "exit.c",
    from: "  async_hold_commits(timeout_us + PASS_US);\n",
    to: "",
    killers: ["exit_test", "signals_test"],
  },
  {
    name: "a drain before the end asks nobody whether it is wanted",
    file: "lifecycle.c",
    from: "if (rc != SQLITE_OK || !async_config.drain_on_exit) return rc;",
    to: "if (rc != SQLITE_OK) return rc;",
    killers: ["exit_test drain does nothing"],
  },
  {
    name: "a journal that waits to be synced is deleted while it is open",
    file: "name.c",
    from: "if (file == NULL) file = async_file_find_unsynced(stream, path);",
    to: "",
    killers: ["file_test a journal that waits"],
  },
  {
    name: "a forked child writes its parent's queue",
    file: "exit.c",
    from: "static void in_child(void) {\n  async_forked = true;",
    to: "static void in_child(void) {",
    killers: ["exit_test"],
  },
  {
    name: "what a program's own handler of a signal raises is never delivered",
    file: "os_posix_signals.c",
    from: "  pthread_sigmask(SIG_UNBLOCK, &set, NULL);\n",
    to: "",
    killers: ["exit_test"],
  },
  {
    name: "a handler of a signal that is for one time stays in force",
    file: "os_posix_signals.c",
    from: "return (action->sa_flags & (int)SA_RESETHAND) != 0;",
    to: "(void)action;\n  return false;",
    killers: ["exit_test"],
  },
  {
    name: "a signal that a terminal sends is left out",
    file: "os_posix_signals.c",
    from: "{.number = SIGINT},  {.number = SIGHUP},",
    to: "{.number = SIGINT},  {.number = SIGALRM},",
    killers: ["signals_test each_signal"],
  },
  {
    name: "a signal that the process ignores ends it",
    file: "os_posix_signals.c",
    from: "if (is_handled_by(&current, SIG_IGN)) continue;",
    to: "",
    killers: ["signals_test ignored"],
  },
  {
    name: "our handler does not come back when another one is taken off",
    file: "os_posix_signals.c",
    from: "  put_handlers_back();\n  end();",
    to: "  if (look_us == NEVER) put_handlers_back();\n  end();",
    killers: ["signals_test taken_off"],
  },
  {
    name: "nobody looks whether our handler is there but who sets the parameter",
    file: "writer.c",
    from: "  async_os_keep_signals();\n",
    to: "",
    killers: ["signals_test taken_off"],
  },
  {
    name: "a handler that was taken off is called after the drain",
    file: "os_posix_signals.c",
    from: "if (!is_handled_by(&replaced, on_signal)) signal->previous = replaced;",
    to: "static int puts[65];\n" +
      "  if (!is_handled_by(&replaced, on_signal) && puts[signal->number]++ == 0) {\n" +
      "    signal->previous = replaced;\n  }",
    killers: ["signals_test taken_off"],
  },
  {
    name: "our handlers are put over those of the program",
    file: "os_posix_signals.c",
    from: "|| !is_default(&current)) continue;",
    to: ") continue;",
    killers: ["exit_test"],
  },
  {
    name: "our handlers cover those that are to have the signal for themselves",
    file: "os_posix_signals.c",
    from: ": !over_handlers && !is_for_once(&current)) {",
    to: ": false && over_handlers) {",
    killers: ["signals_test covered"],
  },
  {
    name: "commits go on once a handler was called that has another thread end the process",
    file: "os_posix_signals.c",
    from: "    async_os_sleep_us(HANDLER_US);\n",
    to: "",
    killers: ["signals_test another_thread"],
  },
  {
    name: "at a signal that the program may catch commits are held as at any other",
    file: "exit.c",
    from: "if (may_live) async_writer_finish(timeout_us);",
    to: "(void)may_live;",
    killers: ["signals_test commits_go_on"],
  },
  {
    name: "the default of draining at signals takes a wish back",
    file: "control.c",
    from: "value == SQLITEASYNC_UNLESS_SET && drain_on_signals_set",
    to: "value == SQLITEASYNC_UNLESS_SET && drain_on_signals_set && async_forked",
    killers: ["signals_test a_default"],
  },

  // ---- A parent that moves a position, then reads or writes ----
  {
    name: "a parent with a position is taken for one without",
    file: "parent.c",
    from: 'return has_call(parent, "read") &&',
    to: 'return false && has_call(parent, "read") &&',
    killers: ["explore_position_test two read"],
  },
  {
    name: "a read does not wait for who has moved the position",
    file: "parent.c",
    from:
      "  begin(stream);\n  int rc = file->pMethods->xRead(file, buf, n, offset);\n  end(stream);",
    to: "  int rc = file->pMethods->xRead(file, buf, n, offset);",
    killers: ["explore_position_test two read"],
  },
  {
    name: "a write does not wait for who has moved the position",
    file: "parent.c",
    from: "  begin(stream);\n  int rc = file->pMethods->xWrite(file, data, n, offset);\n" +
      "  end(stream);",
    to: "  int rc = file->pMethods->xWrite(file, data, n, offset);",
    killers: ["explore_position_test one reads while"],
  },
  {
    name: "a size hint moves the position under who reads",
    file: "parent.c",
    from:
      "  begin(stream);\n  file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &hint);\n" +
      "  end(stream);",
    to: "  file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &hint);",
    killers: ["explore_position_test one applies while"],
  },
  // ---- Closing ----
  {
    name: "the last close waits for nothing",
    file: "handle.c",
    from: "    async_closing_end(stream);\n  } else if",
    to: "  } else if",
    killers: ["closing_test leaves_a_file"],
  },
  {
    name: "a close returns when all is applied, with files open",
    file: "closing.c",
    from:
      "return stream->queue.head == NULL && files->newest == NULL && files->garbage == NULL &&\n" +
      "         files->closing == 0;",
    to: "return files != NULL && stream->queue.head == NULL;",
    killers: ["closing_test"],
  },
  {
    name: "a close does not wait for the checkpointer",
    file: "closing.c",
    from: "if (is_written) return !async_closing_is_a_file(stream);",
    to: "if (is_written && stream->handles == 0) return !async_closing_is_a_file(stream);",
    killers: ["closing_test checkpointer"],
  },
  {
    name: "what is not synced when a database is closed never is",
    file: "apply.c",
    from: "return stream->is_closing ? step_close(stream, due_us) : ASYNC_STEP_NOTHING;",
    to: "(void)step_close;\n  return ASYNC_STEP_NOTHING;",
    killers: ["closing_test synced"],
  },
  {
    name: "a closer does not wake a run that has not seen that it is being closed",
    file: "closing.c",
    from:
      "if (!async_writer_help_close(stream)) async_scheduler_wake(&stream->task, ASYNC_WAKE_NOW);",
    to: "async_writer_help_close(stream);",
    killers: ["explore_test no_slice", "explore_close_test not_synced"],
  },
  {
    name: "a close honours the delay",
    file: "writer.c",
    from: "while (!shall_return(number) && !in_a_hurry && !stream->is_closing) {",
    to: "while (!shall_return(number) && !in_a_hurry) {",
    killers: ["closing_test pauses"],
  },
  {
    name: "the delay is a pause for each op, whatever was merged into it",
    file: "queue.c",
    from: "  queue->tail->writes++;\n",
    to: "",
    killers: ["pool_test the_delay"],
  },
  {
    name: "without a writer a close leaves nothing behind",
    file: "closing.c",
    from: "stream->close_queued = stream->awake = true;",
    to: "stream->awake = true;",
    killers: ["closing_test counts_as_queued"],
  },
  {
    name: "a close waits for a full disk as long as a commit",
    file: "failure.c",
    from: "if (!stream->is_closing) return false;\n  /* Once",
    to: "return false;\n  /* Once",
    killers: ["closing_test gives_up"],
  },
  {
    name: "what a close has lost nobody tells",
    file: "closing.c",
    from: "if (tell) async_loss_tell(",
    to: "if (tell && false) async_loss_tell(",
    killers: ["closing_test gives_up"],
  },
  {
    name: "a zombie keeps its lock",
    file: "closing.c",
    from: "if (rc == SQLITE_OK) rc = async_lock_hand_over(stream);",
    to: "",
    killers: ["closing_test zombie"],
  },
  {
    name: "a zombie passes for a connection that is open",
    file: "client.c",
    from: "if (lives_on) end(handle);",
    to: "if (lives_on && false) end(handle);",
    killers: ["closing_test zombie"],
  },
  {
    name: "a close by force leaves the lock",
    file: "lock.c",
    from: "if (lock->cut_off) return SQLITE_LOCK_NONE;",
    to: "",
    killers: ["closing_test by_force"],
  },
  {
    name: "a close by force drops what was committed meanwhile",
    file: "apply.c",
    from: "if (flush_is_due(stream)) return step_flush(stream, due_us);\n  AsyncOp *op",
    to: "if (stream->cut_off) {\n" +
      '    async_failure_fail(stream, SQLITE_IOERR_CLOSE, "close", stream->path);\n' +
      "    return ASYNC_STEP_FAILED;\n  }\n" +
      "  if (flush_is_due(stream)) return step_flush(stream, due_us);\n  AsyncOp *op",
    killers: ["closing_races_test meanwhile"],
  },
  {
    name: "a close by force that was late cuts off all the same",
    file: "closing.c",
    from: "if (!failed) set_cut_off(stream, false);",
    to: "",
    killers: ["closing_races_test that_is_late"],
  },
  {
    name: "a close by force needs a writer though nothing is queued",
    file: "writer.c",
    from: "return (!queued || async_scheduler_has_runner()) && help(",
    to: "return (queued || !queued) && async_scheduler_has_runner() && help(",
    killers: ["closing_races_test halted"],
  },
  {
    name: "what was cut off takes the lock again",
    file: "lock.c",
    from: "if (lock->cut_off) return SQLITE_IOERR_CLOSE;",
    to: "",
    killers: ["closing_races_test no_lock_again"],
  },
  {
    name: "a closer writes for who opens the database again",
    file: "writer.c",
    from: "bool goes_on = stream->is_closing || stream->cut_off;",
    to: "bool goes_on = true;",
    killers: ["closing_races_test opens_the_database_again"],
  },
  {
    name: "a close waits at a fence for as long as another database's disk is full",
    file: "apply.c",
    from: "if (!async_failure_is_closed_for_long(stream)) return",
    to: "if (async_failure_is_closed_for_long(stream) || true) return",
    killers: ["closing_races_test fence"],
  },
  {
    name: "what is held after a close is hopeless at once",
    file: "failure.c",
    from: "if (since_us < stream->closing_since_us) since_us",
    to: "since_us",
    killers: ["closing_races_test shortage"],
  },
  {
    name: "a forked child waits for a zombie of its parent's",
    file: "client.c",
    from: "bool lives_on = !async_forked && sqlite3_next_stmt",
    to: "bool lives_on = sqlite3_next_stmt",
    killers: ["closing_races_test forked"],
  },
  {
    name: "the last close beside a zombie leaves the lock",
    file: "closing.c",
    from: "if (is_abandoned(stream)) {",
    to: "if (is_abandoned(stream) && false) {",
    killers: ["explore_close_test zombie"],
  },
  {
    name: "a zombie's lock does not wait for the checkpointer",
    file: "closing.c",
    from: "    async_lock_await_checkpoint(stream, until_us - async_os_now_us());\n",
    to: "",
    killers: ["closing_races_test checkpointer", "explore_close_test zombie"],
  },
  {
    name: "nobody wakes the close of a database that zombies have open",
    file: "closing.c",
    from: "signal = &stream->applied_moved;",
    to: "",
    killers: ["explore_close_test zombie"],
  },
  {
    name: "commits go on while a close by force cuts them off",
    file: "stream.c",
    from: "if (stream->error.code == SQLITE_OK && stream->cut_off) return SQLITE_IOERR_CLOSE;",
    to: "",
    killers: ["closing_races_test takes_no_more", "explore_close_test by_force"],
  },
  {
    name: "a file that another thread is closing counts as closed",
    file: "closing.c",
    from: "files->garbage == NULL &&\n         files->closing == 0;",
    to: "files->garbage == NULL;",
    killers: ["explore_close_test"],
  },
  {
    name: "a file is closed before it is synced",
    file: "filelist.c",
    from: "!file->gone && stream->error.code == SQLITE_OK;",
    to: "!file->gone && stream->error.code == SQLITE_OK &&\n                  !stream->is_closing;",
    killers: ["power_close_test not_synced"],
  },
  {
    name: "what SQLite's own close has met counts as told",
    file: "handle.c",
    from: "if (handle->is_ending && !handle->knew_error) stream->error_told = false;",
    to: "",
    killers: ["error_test last_close"],
  },

  // ---- Databases that have lost their name ----
  {
    name: "a journal is made beside whatever is there now",
    file: "apply.c",
    from: "return async_file_apply_open(file, op->flags, without_name);",
    to: "return async_file_apply_open(file, op->flags, false);",
    killers: ["moved_test"],
  },
  {
    name: "a journal is deleted beside whatever is there now",
    file: "name.c",
    from: "int rc = nameless ? SQLITE_OK : vfs->xDelete(vfs, file->path, sync_directory);",
    to: "int rc = vfs->xDelete(vfs, file->path, sync_directory);",
    killers: ["moved_journal_test leave_the_journal"],
  },
  {
    name: "a hot journal stays under the name",
    file: "moved.c",
    from: "  if (moved) leave_nothing(stream);\n",
    to: "",
    killers: ["moved_journal_test leave_no_journal", "moved_test"],
  },
  {
    name: "a journal that went with its folder stays hot",
    file: "name.c",
    from: "async_parent_truncate(file->stream, parent, 0);\n  async_os_delete_open(file->state);",
    to: "",
    killers: ["moved_test"],
  },
  {
    name: "a kept journal is made hot without a look",
    file: "moved.c",
    from: "return works_by_name(op) || find_journal(stream) != NULL;",
    to: "return op->kind == ASYNC_OP_CREATE || op->kind == ASYNC_OP_DELETE;",
    killers: ["moved_journal_test leave_no_journal"],
  },
  {
    name: "the path is opened again while an op goes by its name",
    file: "moved.c",
    from: "while (stream->by_name || stream->removing > 0) {",
    to: "while (false) {",
    killers: ["moved_test by_name"],
  },
  {
    name: "a look that began before the move hides it from one that saw it",
    file: "moved.c",
    from: "    int64_t seen = stream->moves_seen;\n" +
      "    if (has_moved(stream)) stream->moves_seen++;\n" +
      "    /* What this look saw is old, if another one has seen a move meanwhile. */\n" +
      "    stream->moved = stream->has_left_path || stream->moves_seen != seen;\n" +
      "  }\n" +
      "  bool moved = stream->moved;\n" +
      "  /* Each time: a journal may just have been created, by an op that was under way. */\n" +
      "  if (moved) leave_nothing(stream);\n" +
      "  return moved;\n" +
      "}",
    to: "    stream->moved = has_moved(stream) || stream->has_left_path;\n  }\n" +
      "  if (stream->moved) leave_nothing(stream);\n  return stream->moved;\n}",
    killers: ["moved_test late_look"],
  },
  {
    name: "a journal found under the name of a moved database is its own",
    file: "lock.c",
    from: "if (lock->writer != NULL || async_moved_look_now(stream)) {",
    to: "if (lock->writer != NULL || (async_moved_look_now(stream) && false)) {",
    killers: ["moved_journal_test another_process"],
  },
  {
    name: "a database that its owner has deleted is an error",
    file: "failure.c",
    from: "bool quiet = deleted || stream->cut_off;",
    to: "bool quiet = stream->cut_off;",
    killers: ["moved_journal_test reported"],
  },
  {
    name: "an op by name goes by what was known before the look",
    file: "apply.c",
    from: "  if (by_name) async_moved_begin_by_name(stream);\n  bool moved = stream->moved;",
    to: "  bool moved = stream->moved;\n  if (by_name) async_moved_begin_by_name(stream);",
    killers: ["explore_moved_test"],
  },
  {
    name: "a moved database's connection deletes the journal of another",
    file: "vfs.c",
    from: "if (!async_moved_has_left_path()) return stream; /* only",
    to: "return stream; /* only",
    killers: ["explore_moved_test"],
  },
  {
    name: "a hot journal that is closed and not deleted yet stays under the name",
    file: "moved.c",
    from: "  if (state.inode == 0) return;",
    to: "  if (state.inode != 0) return;",
    killers: ["explore_moved_test"],
  },
  {
    name: "a close does not look whether the database has moved",
    file: "handle.c",
    from: "if (is_connection) async_moved_look_now(stream);",
    to: "",
    killers: ["moved_fault_test"],
  },
  {
    name: "a journal that was found is not synced before it is written to",
    file: "apply.c",
    from: "return changes && op->file->sync_first;",
    to: "return changes && false;",
    killers: ["journal_test", "power_close_test left_by"],
  },
  {
    name: "a journal that others have written to passes for ours",
    file: "name.c",
    from: "return left->written_ns != 0 && now->written_ns == left->written_ns && ",
    to: "return left->written_ns != 0 && now != NULL; ",
    killers: ["journal_test"],
  },
  {
    name: "a journal without a name that cannot be made is tried by its name",
    file: "failure.c",
    from: "op->kind == ASYNC_OP_CREATE && !moved) {",
    to: "op->kind == ASYNC_OP_CREATE) {",
    killers: ["moved_journal_test without_a_name"],
  },
  {
    name: "a renamed database that fails is passed over in silence",
    file: "failure.c",
    from: "bool deleted = moved && async_os_is_deleted(database);",
    to: "bool deleted = moved && database.inode != 0;",
    killers: ["moved_journal_test reported"],
  },
  {
    name: "a deleted database counts as lost",
    file: "stream.c",
    from: "if (stream->is_deleted || cut_off || stream->lost_told) return 0;",
    to: "if (cut_off || stream->lost_told) return 0;",
    killers: ["moved_journal_test reported"],
  },
  {
    name: "a flush of all fails for a deleted database that is being closed",
    file: "flush.c",
    from: "stream->error_told || stream->is_deleted;",
    to: "stream->error_told;",
    killers: ["moved_journal_test reported"],
  },
  {
    name: "a flush of all fails for a deleted database of the past",
    file: "registry.c",
    from: "!stream->cut_off && !stream->is_deleted;",
    to: "!stream->cut_off;",
    killers: ["moved_journal_test reported"],
  },
  {
    name: "the super-journal of a moved database has no name",
    file: "apply.c",
    from: "bool without_name = moved && file->role != ASYNC_ROLE_SUPER_JOURNAL;",
    to: "bool without_name = moved;",
    killers: ["moved_journal_test moved_home"],
  },
  {
    name: "the super-journal of a moved database stays",
    file: "apply.c",
    from: "file->nameless || without_name);",
    to: "file->nameless || moved);",
    killers: ["moved_journal_test moved_home"],
  },
  {
    name: "an old connection deletes the journal of the new database",
    file: "vfs.c",
    from: "AsyncStream *stream = find_owner(name);\n  if (stream == NULL) return parent->xDelete",
    to: "AsyncStream *stream = async_registry_find_owner(name);\n" +
      "  if (stream == NULL) return parent->xDelete",
    killers: ["moved_journal_test leaves_the_journal"],
  },
  {
    name: "an old connection sees the journal or WAL of the new database",
    file: "vfs.c",
    from: "AsyncStream *stream = find_owner(name);\n  bool known",
    to: "AsyncStream *stream = async_registry_find_owner(name);\n  bool known",
    killers: ["moved_wal_test stays_out"],
  },
  {
    name: "an old connection opens the WAL of the new database",
    file: "vfs.c",
    from: "AsyncStream *stream = find_owner(name);\n  if (stream != NULL) return open_in_stream",
    to: "AsyncStream *stream = async_registry_find_owner(name);\n" +
      "  if (stream != NULL) return open_in_stream",
    killers: ["moved_wal_test led_into"],
  },
  {
    name: "who finds another database's journal does not look whether its own has moved",
    file: "lock.c",
    from: "lock->writer != NULL || async_moved_look_now(stream)",
    to: "lock->writer != NULL || stream->moved",
    killers: ["moved_journal_test another_process"],
  },
  {
    name: "a released database that was moved opens the WAL at its path",
    file: "name.c",
    from: "if (async_moved_look(stream)) {\n    /* The WAL",
    to: "if (false) {\n    /* The WAL",
    killers: ["moved_wal_test released"],
  },
  {
    name: "the checkpointer opens what is at the path of a moved database",
    file: "checkpoint.c",
    from: "if (has_moved(stream)) {\n    outcome",
    to: "if (has_moved(stream) && false) {\n    outcome",
    killers: ["moved_wal_test opens_nothing"],
  },
  {
    name: "the checkpointer takes the new database for the old one",
    file: "checkpoint.c",
    from: "if (rc == SQLITE_OK && !is_open_in(db, stream)) rc",
    to: "if (rc == SQLITE_OK && !is_open_in(db, stream) && false) rc",
    killers: ["moved_wal_test no_checkpoint"],
  },
  {
    name: "a database that was moved stays so when it is back",
    file: "moved.c",
    from: "stream->moved = stream->has_left_path || stream->moves_seen != seen;",
    to: "stream->moved = stream->moved || stream->has_left_path || stream->moves_seen != seen;",
    killers: ["moved_journal_test moved_back"],
  },
  {
    name: "a database that was moved back never has its path again",
    file: "moved.c",
    from: "*moved = !async_registry_regain_path(stream);",
    to: "*moved = 1;",
    killers: ["moved_test moved_back"],
  },
  {
    name: "a database that was moved back takes the path from another one",
    file: "moved.c",
    from: "*moved = !async_registry_regain_path(stream);",
    to: "(void)async_registry_regain_path(stream);",
    killers: ["moved_test moved_back"],
  },

  // ---- What is plain SQLite's ----
  {
    name: "a flush of what was never open is fine",
    file: "outside.c",
    from: "if (rc == SQLITE_OK && !async_known_was_open(full)) rc = SQLITE_NOTFOUND;",
    to: "",
    killers: ["plain_test flush of what"],
  },
  {
    name: "no path is known to have been open",
    file: "vfs.c",
    from: "if (rc == SQLITE_OK) async_known_note_open(name);",
    to: "",
    killers: ["plain_test flush of what"],
  },
  {
    name: "a path that could not be opened counts as having been open",
    file: "vfs.c",
    from: "if (rc == SQLITE_OK) async_known_note_open(name);",
    to: "async_known_note_open(name);",
    killers: ["plain_test flush of what"],
  },
  {
    name: "a set of paths that is full knows only what is in it",
    file: "known.c",
    from: "return set->full || *slot_of(set, hash) == hash;",
    to: "return *slot_of(set, hash) == hash;",
    killers: ["plain_test a set"],
  },
  {
    name: "a set of paths that grows loses what it had",
    file: "known.c",
    from: "*slot_of(&larger, set->hashes[i]) = set->hashes[i];",
    to: "*slot_of(&larger, 1) = 1;",
    killers: ["plain_test a set"],
  },
  {
    name: "a flush of all does not look for routes that are open outside",
    file: "durability.c",
    from: 'return async_outside_check_routes("flush");',
    to: "return SQLITE_OK;",
    killers: ["plain_test flush of all"],
  },
  {
    name: "only the first of many routes are looked at",
    file: "router.c",
    from: "*next = place - 1;",
    to: "route = NULL;\n      break;",
    killers: ["plain_test of many"],
  },
  {
    name: "a route that is open outside is found once and then forgotten",
    file: "router.c",
    from: "outside_found = found;",
    to: "outside_found = false;",
    killers: ["plain_test flush of all"],
  },
  {
    name: "the router opens a URI that was taken for a name",
    file: "router.c",
    from: "if (name != NULL && async_uriname_refuses(name)) return SQLITE_CANTOPEN;",
    to: "",
    killers: ["plain_test a uri"],
  },
  {
    name: "the VFS opens a URI that was taken for a name",
    file: "vfs.c",
    from: "if (async_uriname_refuses(name)) return SQLITE_CANTOPEN;",
    to: "",
    killers: ["plain_test a uri"],
  },
  {
    name: "a URI that was made absolute is taken for a name",
    file: "uriname.c",
    from: "found != name && !async_path_is_separator(found[-1])",
    to: "found != name",
    killers: ["plain_test a uri"],
  },
  {
    name: "a name that only looks like our URI is refused",
    file: "uriname.c",
    from: ' && strchr("&#", query[length]) != NULL',
    to: "",
    killers: ["plain_test other odd"],
  },
  {
    name: "that a URI is no name is said each time",
    file: "uriname.c",
    from: "if (async_forked || async_known_note_complaint(uri)) complain(uri);",
    to: "complain(uri);",
    killers: ["plain_test a uri"],
  },
  {
    name: "a database in memory is routed",
    file: "router.c",
    from: 'if (strcmp(zPath, ":memory:") == 0) {',
    to: "if (false) {",
    killers: ["plain_test what names no"],
  },
  {
    name: "the router stays the default when the VFS is gone",
    file: "router.c",
    from: "if (registered[i]) sqlite3_vfs_unregister(&routers[i]);",
    to: "",
    killers: ["plain_test a program"],
  },
  {
    name: "a route under another default VFS is without effect",
    file: "router.c",
    from: "if (before == async_vfs()) return SQLITE_OK;",
    to: "if (before == async_vfs() || registered[0]) return SQLITE_OK;",
    killers: ["plain_test a route works"],
  },
  {
    name: "what only begins like an excluded folder is excluded",
    file: "exclude.c",
    from: "if (async_path_is_separator(full[one->length])) return true;",
    to: "return true;",
    killers: ["plain_test what is excluded"],
  },
  {
    name: "a journal of an excluded database is refused",
    file: "vfs.c",
    from: "is_made_for_transaction(flags) && !async_exclude_has(name)",
    to: "is_made_for_transaction(flags)",
    killers: ["plain_test what is excluded"],
  },
  {
    name: "an excluded database that is routed is the parent's",
    file: "exclude.c",
    from: " && !has(excepted, full)",
    to: "",
    killers: ["plain_test what is asked"],
  },
  {
    name: "an excluded database goes both ways at once",
    file: "vfs.c",
    from: "if (async_os_is_open_here(name)) return SQLITE_BUSY;",
    to: "",
    killers: ["plain_test what is asked"],
  },
];
