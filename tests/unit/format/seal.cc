#include "tests/unit/format/seal.h"

#include <cstdint>
#include <cstring>

#include "service/format/digest.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

constexpr size_t kChecksumAt = 29;  // after {"__metadata__":{"checksum":"
constexpr size_t kChecksumDigits = 16;

size_t JsonBytes(const std::string& file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  return length;
}

}  // namespace

std::string Resealed(const std::string& file, std::string_view from, std::string_view to) {
  std::string json = file.substr(8, JsonBytes(file));
  const size_t at = json.find(from);
  if (at == json.npos) return "";
  json.replace(at, from.size(), to);
  json.resize(json.find_last_not_of(' ') + 1);
  while ((json.size() + 8) % 64 != 0) json += ' ';
  json.replace(kChecksumAt, kChecksumDigits, std::string(kChecksumDigits, '0'));
  uint64_t checksum = PartChecksum(AsBytes(json));
  for (size_t i = kChecksumDigits; i-- > 0; checksum >>= 4) json[kChecksumAt + i] = "0123456789abcdef"[checksum & 15];
  const uint64_t length = json.size();
  std::string resealed(reinterpret_cast<const char*>(&length), sizeof length);
  return resealed.append(json).append(BodyOf(file));
}

std::string WithBody(const std::string& file, std::string_view body) {
  return file.substr(0, 8 + JsonBytes(file)).append(body);
}

std::string BodyOf(const std::string& file) { return file.substr(8 + JsonBytes(file)); }

}  // namespace chunkkv
