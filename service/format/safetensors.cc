#include "service/format/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "nlohmann/json.hpp"
#include "service/format/safetensors_head.h"
#include "service/format/text.h"

namespace chunkkv {
namespace {

using nlohmann::json;

constexpr size_t kMaxRank = 16;

absl::Status NotSafetensors(std::string_view message) { return InvalidArgument("NOT_SAFETENSORS", message); }

int64_t ElementBytes(std::string_view dtype) {
  if (dtype == "BOOL" || dtype == "U8" || dtype == "I8" || dtype.starts_with("F8_")) return 1;
  if (dtype == "U16" || dtype == "I16" || dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U32" || dtype == "I32" || dtype == "F32") return 4;
  if (dtype == "U64" || dtype == "I64" || dtype == "F64" || dtype == "C64") return 8;
  return 0;
}

// Takes the JSON event by event and accepts the one shape a safetensors header has, so that no other text, however
// nested, is ever built in memory:
//   {"__metadata__": {string: string, ...}, name: {"dtype": string, "shape": [n, ...], "data_offsets": [n, n]}, ...}
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  explicit HeaderReader(SafetensorsHeader* header) : header_(header) {}

  const std::string& error() const { return error_; }

  bool start_object(std::size_t) override {
    if (where_ == Where::kStart) return Go(Where::kTop);
    if (where_ == Where::kMetadataValue) return Go(Where::kMetadata);
    if (where_ != Where::kTensorValue) return Fail("an object where none belongs");
    fields_ = 0;
    header_->tensors.push_back({tensor_name_, "", {}, 0, 0});
    return Go(Where::kTensor);
  }

  bool end_object() override {
    if (where_ == Where::kMetadata) return Go(Where::kTop);
    if (where_ == Where::kTop) return Go(Where::kEnd);
    if (fields_ != (kDType | kShape | kOffsets)) return Fail("a tensor without dtype, shape or data_offsets");
    return Go(Where::kTop);
  }

  bool key(std::string& name) override {
    if (where_ == Where::kTop) {
      if (!names_.insert(name).second) return Fail("a repeated name");
      tensor_name_ = name;
      return Go(name == "__metadata__" ? Where::kMetadataValue : Where::kTensorValue);
    }
    if (where_ == Where::kMetadata) {
      if (header_->metadata.contains(name)) return Fail("repeated metadata");
      metadata_name_ = name;
      return Go(Where::kMetadataText);
    }
    const int field = name == "dtype" ? kDType : name == "shape" ? kShape : name == "data_offsets" ? kOffsets : 0;
    if (field == 0 || (fields_ & field) != 0) return Fail("a tensor with an unknown or repeated field");
    fields_ |= field;
    return Go(field == kDType ? Where::kDTypeText : field == kShape ? Where::kShapeValue : Where::kOffsetsValue);
  }

  bool string(std::string& text) override {
    if (where_ == Where::kMetadataText) {
      header_->metadata[metadata_name_] = text;
      return Go(Where::kMetadata);
    }
    if (where_ != Where::kDTypeText) return Fail("a string where none belongs");
    header_->tensors.back().dtype = text;
    return Go(Where::kTensor);
  }

  bool start_array(std::size_t) override {
    if (where_ == Where::kShapeValue) return Go(Where::kShape);
    if (where_ != Where::kOffsetsValue) return Fail("a list where none belongs");
    offset_count_ = 0;
    return Go(Where::kOffsets);
  }

  bool end_array() override {
    if (where_ == Where::kOffsets && offset_count_ != 2) return Fail("data_offsets need two numbers");
    return Go(Where::kTensor);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return Fail("a number beyond 63 bits");
    SafetensorsTensor* tensor = header_->tensors.empty() ? nullptr : &header_->tensors.back();
    if (where_ == Where::kShape) {
      if (tensor->shape.size() == kMaxRank) return Fail("a shape of too many dimensions");
      tensor->shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (where_ != Where::kOffsets || offset_count_ == 2) return Fail("a number where none belongs");
    // size_bytes holds the end until CheckTensors.
    (offset_count_++ == 0 ? tensor->offset : tensor->size_bytes) = static_cast<int64_t>(value);
    return true;
  }

  bool null() override { return Fail("null"); }
  bool boolean(bool) override { return Fail("a boolean"); }
  bool number_integer(number_integer_t) override { return Fail("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Fail("a fraction"); }
  bool binary(binary_t&) override { return Fail("binary"); }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    return Fail(absl::StrCat("no JSON at byte ", position));
  }

 private:
  enum class Where {
    kStart,
    kTop,
    kMetadataValue,
    kMetadata,
    kMetadataText,
    kTensorValue,
    kTensor,
    kDTypeText,
    kShapeValue,
    kShape,
    kOffsetsValue,
    kOffsets,
    kEnd
  };
  enum Field { kDType = 1, kShape = 2, kOffsets = 4 };

  using string_t = json::string_t;

  bool Go(Where where) {
    where_ = where;
    return true;
  }
  bool Fail(std::string message) {
    error_ = std::move(message);
    return false;
  }

  SafetensorsHeader* header_;
  Where where_ = Where::kStart;
  std::set<std::string> names_;
  std::string tensor_name_;
  std::string metadata_name_;
  int fields_ = 0;
  int offset_count_ = 0;
  std::string error_;
};

// Bytes of `tensor` by its shape and dtype; -1 where unknown or beyond 63 bits.
int64_t ShapeBytes(const SafetensorsTensor& tensor) {
  int64_t bytes = ElementBytes(tensor.dtype);
  if (bytes == 0) return -1;
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) return 0;
  for (const int64_t dimension : tensor.shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return -1;
  }
  return bytes;
}

// Puts tensors into body order, turns their ends into sizes, and checks that they fill the body without holes.
absl::Status CheckTensors(SafetensorsHeader* header) {
  auto& tensors = header->tensors;
  // Stable: empty tensors that share an offset stay in the order of the header.
  std::stable_sort(tensors.begin(), tensors.end(), [](const SafetensorsTensor& left, const SafetensorsTensor& right) {
    return std::tie(left.offset, left.size_bytes) < std::tie(right.offset, right.size_bytes);
  });
  int64_t next = 0;
  for (SafetensorsTensor& tensor : tensors) {
    const int64_t end = tensor.size_bytes;
    if (tensor.offset != next || end < tensor.offset || end > header->body_bytes) {
      return NotSafetensors(absl::StrCat("data_offsets [", tensor.offset, ", ", end, ") do not follow ", next,
                                         " in a body of ", header->body_bytes, " bytes"));
    }
    tensor.size_bytes = end - tensor.offset;
    if (ShapeBytes(tensor) != tensor.size_bytes) {
      return NotSafetensors(
          absl::StrCat("a tensor of ", tensor.size_bytes, " bytes whose shape and dtype say ", ShapeBytes(tensor)));
    }
    next = end;
  }
  if (next != header->body_bytes) {
    return NotSafetensors(absl::StrCat("the file has ", header->body_bytes - next, " bytes more than its tensors"));
  }
  return absl::OkStatus();
}

}  // namespace

const SafetensorsTensor* SafetensorsHeader::Find(std::string_view name) const {
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

absl::StatusOr<int64_t> SafetensorsHeadBytes(absl::Span<const std::byte> bytes, int64_t file_size) {
  if (file_size < kLengthBytes || bytes.size() < static_cast<size_t>(kLengthBytes)) {
    return NotSafetensors(absl::StrCat("the file has only ", file_size, " bytes"));
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const uint64_t most = std::min<uint64_t>(kMaxHeaderBytes, static_cast<uint64_t>(file_size - kLengthBytes));
  if (length < 2 || length > most) {
    return NotSafetensors(absl::StrCat("a header of ", length, " bytes, in a file of ", file_size, " bytes"));
  }
  return kLengthBytes + static_cast<int64_t>(length);
}

absl::StatusOr<std::string_view> SafetensorsJson(absl::Span<const std::byte> bytes, int64_t file_size) {
  const auto head_bytes = SafetensorsHeadBytes(bytes, file_size);
  if (!head_bytes.ok()) return head_bytes.status();
  if (*head_bytes > static_cast<int64_t>(bytes.size())) {
    return NotSafetensors(absl::StrCat("only ", bytes.size(), " bytes of a head of ", *head_bytes, " bytes"));
  }
  const auto json_bytes = bytes.subspan(kLengthBytes, *head_bytes - kLengthBytes);
  return std::string_view(reinterpret_cast<const char*>(json_bytes.data()), json_bytes.size());
}

absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::Span<const std::byte> bytes, int64_t file_size) {
  const auto text = SafetensorsJson(bytes, file_size);
  if (!text.ok()) return text.status();
  if (text->front() != '{') return NotSafetensors("the header does not begin with {");
  SafetensorsHeader header;
  header.body_offset = kLengthBytes + static_cast<int64_t>(text->size());
  header.body_bytes = file_size - header.body_offset;
  HeaderReader reader(&header);
  if (!json::sax_parse(text->begin(), text->end(), &reader)) {
    return NotSafetensors("the header is wrong: " + reader.error());
  }
  if (absl::Status status = CheckTensors(&header); !status.ok()) return status;
  return header;
}

std::string EncodeHead(const std::vector<SafetensorsTensor>& tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::string json_text = "{";
  if (!metadata.empty()) {
    json_text += "\"__metadata__\":{";
    for (size_t i = 0; i < metadata.size(); ++i) {
      absl::StrAppend(&json_text, i == 0 ? "" : ",", JsonString(metadata[i].first), ":",
                      JsonString(metadata[i].second));
    }
    json_text += '}';
  }
  for (const SafetensorsTensor& tensor : tensors) {
    std::string shape;
    for (const int64_t dimension : tensor.shape) absl::StrAppend(&shape, shape.empty() ? "" : ",", dimension);
    absl::StrAppend(&json_text, json_text.size() == 1 ? "" : ",", JsonString(tensor.name),
                    ":{\"dtype\":", JsonString(tensor.dtype), ",\"shape\":[", shape, "],\"data_offsets\":[",
                    tensor.offset, ",", tensor.offset + tensor.size_bytes, "]}");
  }
  json_text += '}';
  while ((json_text.size() + kLengthBytes) % kBodyAlignment != 0) json_text += ' ';
  std::string head;
  for (int i = 0; i < kLengthBytes; ++i) head += static_cast<char>(json_text.size() >> (8 * i));
  return head + json_text;
}

std::string EncodeSafetensorsHead(const std::vector<SafetensorsTensor>& tensors,
                                  const std::map<std::string, std::string>& metadata) {
  return EncodeHead(tensors, {metadata.begin(), metadata.end()});
}

}  // namespace chunkkv
