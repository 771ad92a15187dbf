// Texts that others must be able to reproduce byte for byte: UTF-8 checks, and JSON written in one form only.
#ifndef CHUNKKV_SERVICE_FORMAT_TEXT_H_
#define CHUNKKV_SERVICE_FORMAT_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace chunkkv {

// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

// Whether valid UTF-8 `text` holds a control character: U+0000..U+001F, U+007F..U+009F.
bool HasControlCharacter(std::string_view text);

// `text` as a JSON string: `"` and `\` escaped, U+0000..U+001F as \b \t \n \f \r or \u00xx (lower-case digits),
// everything else as it is. What Python's json.dumps(text, ensure_ascii=False) writes.
std::string JsonString(std::string_view text);

// The IEEE-754 bits of `value` as a JSON string of 16 lower-case hexadecimal digits, most significant first. Minus zero
// is written as zero.
std::string JsonDoubleBits(double value);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_TEXT_H_
