// An entry's header as the metadata of its record, and back. Inside format only. Normative text: README.md.
#ifndef CHUNKKV_SERVICE_FORMAT_RECORD_METADATA_H_
#define CHUNKKV_SERVICE_FORMAT_RECORD_METADATA_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "service/format/record.h"
#include "service/format/safetensors.h"

namespace chunkkv {

inline constexpr std::string_view kRecordFormatName = "chunkkv.record";

// Keys and values in the order they are written: checksum (zeros here), format, format_version, then sorted.
std::vector<std::pair<std::string, std::string>> RecordMetadata(const EntryHeader& header);

// Fills everything of `head` but the tensors, positions and body offset.
// Errors: DATA_LOSS (RECORD_DAMAGED), UNIMPLEMENTED (RECORD_FORMAT_NEWER) for the reserved key `base`.
absl::Status ReadRecordMetadata(const std::map<std::string, std::string>& metadata, RecordHead* head);

// Digests by tensor name, positions lists included. Errors: DATA_LOSS (RECORD_DAMAGED).
using Digests = std::map<std::string, Bytes16>;
absl::StatusOr<Digests> ReadDigests(const std::map<std::string, std::string>& metadata);

std::string PositionsName(size_t group);
bool HasPositions(const EntryHeader& header, size_t group);

absl::Status RecordDamaged(std::string_view message);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_RECORD_METADATA_H_
