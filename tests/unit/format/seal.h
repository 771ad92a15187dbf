// Records changed by hand whose header checksum is right all the same: what a wrong writer could leave behind.
#ifndef CHUNKKV_TESTS_UNIT_FORMAT_SEAL_H_
#define CHUNKKV_TESTS_UNIT_FORMAT_SEAL_H_

#include <string>
#include <string_view>

namespace chunkkv {

// `file` with the first `from` of its JSON replaced by `to`, padded and sealed again. Empty where there is none.
// Quotes inside metadata values stand as \" in the JSON.
std::string Resealed(const std::string& file, std::string_view from, std::string_view to);

// `file` with its body replaced.
std::string WithBody(const std::string& file, std::string_view body);
std::string BodyOf(const std::string& file);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_FORMAT_SEAL_H_
