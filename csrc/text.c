/*
** Text that came from outside.  See text.h.
*/
#include "text.h"

#include <string.h>

int async_text_character(const char *text, uint32_t *number) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *bytes = (const unsigned char *)text;
  *number = bytes[0];
  if (bytes[0] < 0x80) return 1;
  if (bytes[0] < 0xc2 || bytes[0] > 0xf4) return 0;
  int length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
  *number &= 0x7fu >> length;
  for (int i = 1; i < length; i++) {
    if ((bytes[i] & 0xc0) != 0x80) return 0; /* the zero at the end, too */
    *number = *number << 6 | (bytes[i] & 0x3f);
  }
  bool surrogate = *number >= 0xd800 && *number <= 0xdfff;
  return *number < smallest[length] || *number > 0x10ffff || surrogate ? 0 : length;
}

bool async_text_is_control(uint32_t number) {
  return number < 0x20 || (number >= 0x7f && number < 0xa0);
}

void async_text_printable(const char *text, char *out, size_t n) {
  size_t used = 0;
  while (*text != '\0') {
    uint32_t number;
    int length = async_text_character(text, &number);
    bool shown = length > 0 && !async_text_is_control(number);
    size_t size = shown ? (size_t)length : 1;
    if (used + size >= n) break;
    if (shown) {
      memcpy(out + used, text, size);
    } else {
      out[used] = '?';
    }
    used += size;
    text += length > 0 ? length : 1;
  }
  out[used] = '\0';
}
