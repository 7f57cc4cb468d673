/*
** JSON text.  See json.h.
*/
#include "json.h"

#include "text.h"

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
  while (*text != '\0') {
    uint32_t number;
    int length = async_text_character(text, &number);
    if (length == 0) {
      put_raw(json, ASYNC_TEXT_REPLACEMENT);
    } else if (async_text_is_control(number)) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)number);
      put_raw(json, escaped);
    } else {
      if (number == '"' || number == '\\') put(json, '\\');
      for (int i = 0; i < length; i++) put(json, text[i]);
    }
    text += length > 0 ? length : 1;
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

void async_json_open_list(AsyncJson *json) {
  if (json->room > 0 && json->length == 0) json->buf[0] = '\0';
  put(json, '[');
  json->members = 0;
}

void async_json_element(AsyncJson *json) {
  if (json->members > 0) put(json, ',');
  async_json_open(json);
}

void async_json_close_list(AsyncJson *json) { put(json, ']'); }

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
