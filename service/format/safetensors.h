// Reading and writing safetensors files of any content: the input of `chunkkv compact`, and the carrier of records.
#ifndef CHUNKKV_SERVICE_FORMAT_SAFETENSORS_H_
#define CHUNKKV_SERVICE_FORMAT_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace chunkkv {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;  // "F32" "F16" "BF16" "I32" "U8" ...
  std::vector<int64_t> shape;
  int64_t offset = 0;  // from the body's start
  int64_t size_bytes = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // in body order
  std::map<std::string, std::string> metadata;
  int64_t body_offset = 0;  // from the file's start
  int64_t body_bytes = 0;
  const SafetensorsTensor* Find(std::string_view name) const;
};

// Every number is checked: offsets in order without holes, sizes equal to shape times dtype, the file's size exact.
// Header at most 64 MiB. Errors: INVALID_ARGUMENT (NOT_SAFETENSORS).
absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::Span<const std::byte> bytes, int64_t file_size);

// The head of a file with these tensors, padded with spaces so that the body is 64-aligned.
std::string EncodeSafetensorsHead(const std::vector<SafetensorsTensor>& tensors,
                                  const std::map<std::string, std::string>& metadata);

// A file mapped read-only for its lifetime.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);
  SafetensorsFile(SafetensorsFile&& other) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&& other) noexcept;
  ~SafetensorsFile();
  const SafetensorsHeader& header() const { return header_; }
  absl::Span<const std::byte> body() const;
  absl::Span<const std::byte> Bytes(const SafetensorsTensor& tensor) const;

 private:
  SafetensorsFile(void* map, size_t size, SafetensorsHeader header);
  void* map_ = nullptr;
  size_t size_ = 0;
  SafetensorsHeader header_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_SAFETENSORS_H_
