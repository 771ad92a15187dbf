// The record: one safetensors file [u64 header length][JSON header][body], the only form of an entry at rest.
// Normative text: service/format/README.md.
#ifndef CHUNKKV_SERVICE_FORMAT_RECORD_H_
#define CHUNKKV_SERVICE_FORMAT_RECORD_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/format/entry_header.h"

namespace chunkkv {

inline constexpr int32_t kRecordFormatVersion = 1;

// Bytes of the record's head: the length, the JSON with its own checksum, padded so that the body is 64-aligned.
// The tenant is written as the SHA-256 of its name. The file is the head followed by the body. `header.tensors` must be
// LayOutBody's, with digests; `header.entry_digest` theirs; texts must be UTF-8.
std::string EncodeRecordHead(const EntryHeader& header);

// What a head alone tells. Positions lie in the body: the header's lists are empty until LoadPositions.
struct RecordHead {
  EntryHeader header;
  std::vector<Bytes16> positions_digests;  // per group; of use where its row count is not L
  std::string tenant_digest;               // hexadecimal; empty where absent
  int64_t body_offset = 0;
};

// Parses a head: `bytes` holds at least [u64 length][JSON]. `file_size` must match exactly. Safe on any bytes; memory
// stays within a small multiple of the head.
// Errors: DATA_LOSS (RECORD_DAMAGED), UNIMPLEMENTED (RECORD_FORMAT_NEWER) for a newer version or a record with a base,
// INVALID_ARGUMENT (NOT_A_RECORD) for a safetensors file that is no record.
absl::StatusOr<RecordHead> DecodeRecordHead(absl::Span<const std::byte> bytes, int64_t file_size);

// Fills in the header's positions from the body. Errors: DATA_LOSS: DIGEST_MISMATCH naming the list, RECORD_DAMAGED
// where a list does not ascend within [0, L) or the body has another size.
absl::Status LoadPositions(absl::Span<const std::byte> body, RecordHead* head);

// Checks positions in `body` against the header's. Errors: DATA_LOSS: DIGEST_MISMATCH naming the list.
absl::Status VerifyPositions(const EntryHeader& header, absl::Span<const std::byte> body);

// VerifyPositions, and checks every tensor digest and the entry digest.
// Errors: DATA_LOSS: DIGEST_MISMATCH naming the tensor, RECORD_DAMAGED where the body has another size.
absl::Status VerifyBody(const EntryHeader& header, absl::Span<const std::byte> body);

// Writes a record to `path`: temporary file beside it, fdatasync, rename, fsync of the directory. Mode 0600. OK means
// that it is on the device; after an error nothing but an earlier record is at `path`, except where only the
// directory's fsync failed. Digests are the caller's: they are written, not computed.
// Errors: RESOURCE_EXHAUSTED (DISK_FULL), NOT_FOUND (FILE_NOT_FOUND), PERMISSION_DENIED (FILE_PERMISSION), UNAVAILABLE
// (IO_ERROR); INTERNAL (BAD_HEADER) for a header that no reader would accept.
absl::Status WriteRecord(const std::string& path, const EntryHeader& header, absl::Span<const std::byte> body);

// A record read from a file, every byte verified.
// Errors: as DecodeRecordHead, LoadPositions, VerifyBody, and for files as WriteRecord; RESOURCE_EXHAUSTED
// (OUT_OF_MEMORY).
struct Record {
  EntryHeader header;
  std::string tenant_digest;
  std::vector<std::byte> body;
};
absl::StatusOr<Record> ReadRecord(const std::string& path);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_RECORD_H_
