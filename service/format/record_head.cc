#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/digest.h"
#include "service/format/record.h"
#include "service/format/record_metadata.h"
#include "service/format/safetensors_head.h"

namespace chunkkv {
namespace {

// Every record of every version begins so; then 16 hexadecimal digits, kVersionPrefix and the version's digits.
constexpr std::string_view kChecksumPrefix = "{\"__metadata__\":{\"checksum\":\"";
constexpr std::string_view kVersionPrefix = "\",\"format\":\"chunkkv.record\",\"format_version\":\"";
constexpr size_t kChecksumDigits = 16;
constexpr size_t kVersionAt = kChecksumPrefix.size() + kChecksumDigits + kVersionPrefix.size();

// XXH3-64 of the JSON with zeros in the checksum's place, as 16 hexadecimal digits.
std::string HeaderChecksum(std::string_view json_text) {
  const std::string zeros(kChecksumDigits, '0');
  PartDigester digester;
  const auto update = [&](std::string_view text) {
    digester.Update({reinterpret_cast<const std::byte*>(text.data()), text.size()});
  };
  update(kChecksumPrefix);
  update(zeros);
  update(json_text.substr(kChecksumPrefix.size() + kChecksumDigits));
  const uint64_t checksum = digester.Finish();
  std::string digits(kChecksumDigits, '0');
  for (size_t i = 0; i < kChecksumDigits; ++i) digits[i] = "0123456789abcdef"[checksum >> (60 - 4 * i) & 15];
  return digits;
}

absl::Status CheckVersion(std::string_view json_text) {
  std::string_view digits = json_text.substr(kVersionAt);
  digits = digits.substr(0, digits.find('"'));
  if (digits == absl::StrCat(kRecordFormatVersion)) return absl::OkStatus();
  if (digits.empty() || digits.size() > 9 || digits.front() == '0' ||
      digits.find_first_not_of("0123456789") != digits.npos) {
    return RecordDamaged("metadata format_version is no number");
  }
  return Unimplemented("RECORD_FORMAT_NEWER", absl::StrCat("the record has format version ", std::string(digits),
                                                           "; this program reads up to ", kRecordFormatVersion));
}

// A head that does not begin like a record's.
absl::Status RefuseOther(absl::Span<const std::byte> bytes, int64_t file_size) {
  const auto other = ParseSafetensors(bytes, file_size);
  if (!other.ok()) {
    return RecordDamaged(absl::StrCat("neither a record nor another safetensors file: ", other.status().message()));
  }
  const auto format = other->metadata.find("format");
  if (format != other->metadata.end() && format->second == kRecordFormatName) {
    return RecordDamaged("a record whose header does not begin with its checksum");
  }
  return InvalidArgument("NOT_A_RECORD", "a safetensors file, but no record: metadata format is missing");
}

absl::Status Matches(const SafetensorsTensor& tensor, const std::string& name, std::string_view dtype,
                     const std::vector<int64_t>& shape) {
  if (tensor.name == name && tensor.dtype == dtype && tensor.shape == shape) return absl::OkStatus();
  return RecordDamaged(absl::StrCat("the body does not hold ", name, " where the layout says so"));
}

std::vector<int64_t> ShapeOf(const TensorSlot& slot) {
  if (!slot.spec.is_per_token()) return {slot.size_bytes};
  return {slot.row_count, slot.spec.head_count, slot.spec.head_size};
}

std::string_view DTypeOf(const TensorSlot& slot) {
  return slot.spec.is_per_token() ? DTypeName(slot.spec.dtype) : std::string_view("U8");
}

// Tensors that a body of this header has, positions lists included. Computed without laying it out, so that a header
// which promises more than the file holds costs nothing.
int64_t ExpectedTensorCount(const EntryHeader& header) {
  int64_t count = 0;
  for (size_t i = 0; i < header.groups.size(); ++i) count += HasPositions(header, i) ? 1 : 0;
  for (const LayerRun& run : header.layout) {
    count += run.layer_count * static_cast<int64_t>(LayerTensors(header.layout, run.first_layer).size());
  }
  return count;
}

absl::Status ReadTensors(const SafetensorsHeader& file, const Digests& digests, RecordHead* head) {
  EntryHeader& header = head->header;
  const int64_t expected = ExpectedTensorCount(header);
  if (expected != static_cast<int64_t>(file.tensors.size()) || expected != static_cast<int64_t>(digests.size())) {
    return RecordDamaged(absl::StrCat("the layout has ", expected, " tensors, the file ", file.tensors.size(),
                                      " and digests of ", digests.size()));
  }
  size_t next = 0;
  header.positions.resize(header.groups.size());
  head->positions_digests.resize(header.groups.size());
  const auto take_digest = [&](const std::string& name, Bytes16* digest) {
    const auto found = digests.find(name);
    if (found != digests.end()) *digest = found->second;
    return found != digests.end() ? absl::OkStatus() : RecordDamaged("there is no digest of " + name);
  };
  for (size_t i = 0; i < header.groups.size(); ++i) {
    if (!HasPositions(header, i)) continue;
    const std::string name = PositionsName(i);
    CHUNKKV_RETURN_IF_ERROR(Matches(file.tensors[next++], name, "I32", {header.row_counts[i]}));
    CHUNKKV_RETURN_IF_ERROR(take_digest(name, &head->positions_digests[i]));
  }
  const int64_t positions_bytes = PositionsBytes(header.row_counts, header.token_count);
  auto slots = LayOutBody(header.layout, header.groups, header.row_counts, positions_bytes);
  if (!slots.ok()) return RecordDamaged(absl::StrCat("metadata layout: ", slots.status().message()));
  for (TensorSlot& slot : *slots) {
    const std::string name = TensorName(slot.spec);
    CHUNKKV_RETURN_IF_ERROR(Matches(file.tensors[next++], name, DTypeOf(slot), ShapeOf(slot)));
    CHUNKKV_RETURN_IF_ERROR(take_digest(name, &slot.digest));
  }
  header.tensors = *std::move(slots);
  return absl::OkStatus();
}

}  // namespace

std::string EncodeRecordHead(const EntryHeader& header) {
  std::vector<SafetensorsTensor> tensors;
  int64_t offset = 0;
  for (size_t i = 0; i < header.groups.size(); ++i) {
    if (!HasPositions(header, i)) continue;
    const int64_t size_bytes = header.row_counts[i] * int64_t{sizeof(int32_t)};
    tensors.push_back({PositionsName(i), "I32", {header.row_counts[i]}, offset, size_bytes});
    offset += size_bytes;
  }
  for (const TensorSlot& slot : header.tensors) {
    tensors.push_back({TensorName(slot.spec), std::string(DTypeOf(slot)), ShapeOf(slot), slot.offset, slot.size_bytes});
  }
  std::string head = EncodeHead(tensors, RecordMetadata(header));
  const std::string checksum = HeaderChecksum(std::string_view(head).substr(kLengthBytes));
  head.replace(kLengthBytes + kChecksumPrefix.size(), kChecksumDigits, checksum);
  return head;
}

absl::StatusOr<RecordHead> DecodeRecordHead(absl::Span<const std::byte> bytes, int64_t file_size) {
  const auto json_text = SafetensorsJson(bytes, file_size);
  if (!json_text.ok()) return RecordDamaged(absl::StrCat("no record: ", json_text.status().message()));
  if (!json_text->starts_with(kChecksumPrefix)) return RefuseOther(bytes, file_size);
  if (json_text->size() < kVersionAt) return RecordDamaged("the header is cut short");
  if (json_text->substr(kChecksumPrefix.size(), kChecksumDigits) != HeaderChecksum(*json_text)) {
    return RecordDamaged("the header does not have its checksum");
  }
  if (!json_text->substr(kChecksumPrefix.size() + kChecksumDigits).starts_with(kVersionPrefix)) {
    return RecordDamaged("the header does not say format and format_version after its checksum");
  }
  CHUNKKV_RETURN_IF_ERROR(CheckVersion(*json_text));
  const auto file = ParseSafetensors(bytes, file_size);
  if (!file.ok()) return RecordDamaged(std::string(file.status().message()));
  RecordHead head;
  head.body_offset = file->body_offset;
  CHUNKKV_RETURN_IF_ERROR(ReadRecordMetadata(file->metadata, &head));
  CHUNKKV_ASSIGN_OR_RETURN(const Digests digests, ReadDigests(file->metadata));
  CHUNKKV_RETURN_IF_ERROR(ReadTensors(*file, digests, &head));
  if (EntryDigest(head.header.tensors) != head.header.entry_digest) {
    return RecordDamaged("entry_digest is not that of the tensors' digests");
  }
  return head;
}

}  // namespace chunkkv
