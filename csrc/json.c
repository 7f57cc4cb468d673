/*
** JSON text.  See json.h.
*/
#include "json.h"

#include <inttypes.h>
#include <stdio.h>

static void put(AsyncJson *json, char c) {
  if (json->length + 1 < json->room) {
    json->buf[json->length] = c;
    json->buf[json->length + 1] = '\0';
  }
  json->length++;
}

static void put_raw(AsyncJson *json, const char *text) {
  while (*text != '\0') put(json, *text++);
}

static void put_string(AsyncJson *json, const char *text) {
  put(json, '"');
  for (; *text != '\0'; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') {
      put(json, '\\');
      put(json, *text);
    } else if (c < 0x20) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      put_raw(json, escaped);
    } else {
      put(json, *text);
    }
  }
  put(json, '"');
}

static void put_name(AsyncJson *json, const char *name) {
  if (json->members++ > 0) put(json, ',');
  put_string(json, name);
  put(json, ':');
}

void async_json_open(AsyncJson *json) {
  if (json->room > 0 && json->length == 0) json->buf[0] = '\0';
  put(json, '{');
  json->members = 0;
}

void async_json_close(AsyncJson *json) {
  put(json, '}');
  json->members = 1;
}

void async_json_number(AsyncJson *json, const char *name, int64_t value) {
  char digits[24];
  snprintf(digits, sizeof digits, "%" PRId64, value);
  put_name(json, name);
  put_raw(json, digits);
}

void async_json_ms(AsyncJson *json, const char *name, int64_t us) {
  char digits[32];
  snprintf(digits, sizeof digits, "%" PRId64 ".%03d", us / 1000, (int)(us % 1000));
  put_name(json, name);
  put_raw(json, digits);
}

void async_json_bool(AsyncJson *json, const char *name, bool value) {
  put_name(json, name);
  put_raw(json, value ? "true" : "false");
}

void async_json_text(AsyncJson *json, const char *name, const char *value) {
  put_name(json, name);
  if (value == NULL) {
    put_raw(json, "null");
  } else {
    put_string(json, value);
  }
}

void async_json_object(AsyncJson *json, const char *name) {
  put_name(json, name);
  async_json_open(json);
}
