#include "service/format/text.h"

#include <bit>
#include <cstddef>

#include "service/format/bytes.h"

namespace chunkkv {
namespace {

// Bytes of the code point at the start of `text`, 0 where it is ill-formed. Table 3-7 of the Unicode Standard.
size_t CodePointLength(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto is_tail = [&](size_t i) { return byte(i) >= 0x80 && byte(i) <= 0xbf; };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return is_tail(1) ? 2 : 0;
  const uint8_t second_least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const uint8_t second_most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < second_least || byte(1) > second_most || !is_tail(2)) return 0;
  if (first < 0xf0) return 3;
  return is_tail(3) ? 4 : 0;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CodePointLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool HasControlCharacter(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return true;
    // U+0080..U+009F are C2 80..C2 9F, and C2 begins nothing else.
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xa0) return true;
  }
  return false;
}

std::string JsonString(std::string_view text) {
  std::string json = "\"";
  json.reserve(text.size() + 2);
  for (const char character : text) {
    switch (character) {
      case '"':
        json += "\\\"";
        break;
      case '\\':
        json += "\\\\";
        break;
      case '\b':
        json += "\\b";
        break;
      case '\t':
        json += "\\t";
        break;
      case '\n':
        json += "\\n";
        break;
      case '\f':
        json += "\\f";
        break;
      case '\r':
        json += "\\r";
        break;
      default:
        if (static_cast<uint8_t>(character) < 0x20) {
          json += "\\u00" + ToHex(std::string_view(&character, 1));
        } else {
          json += character;
        }
    }
  }
  json += '"';
  return json;
}

std::string JsonDoubleBits(double value) {
  if (value == 0) value = 0;
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  std::string bytes(sizeof bits, '\0');
  for (size_t i = 0; i < sizeof bits; ++i) bytes[i] = static_cast<char>(bits >> (56 - 8 * i));
  return '"' + ToHex(bytes) + '"';
}

}  // namespace chunkkv
