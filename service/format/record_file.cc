#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/atomic_file.h"
#include "service/format/file_descriptor.h"
#include "service/format/file_status.h"
#include "service/format/record.h"
#include "service/format/record_metadata.h"
#include "service/format/safetensors_head.h"

namespace chunkkv {
namespace {

constexpr mode_t kOwnerOnly = 0600;

absl::Status ReadAll(int file, int64_t offset, absl::Span<std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(file, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileStatus(errno, "read", path);
    if (count == 0) return RecordDamaged(path + " became shorter while it was read");
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += count;
  }
  return absl::OkStatus();
}

// False where there is not enough memory: a sparse file may be of any size.
bool Resize(int64_t size_bytes, std::vector<std::byte>* bytes) {
  try {
    bytes->resize(size_bytes);
  } catch (const std::bad_alloc&) {
    return false;
  } catch (const std::length_error&) {
    return false;
  }
  return true;
}

}  // namespace

absl::Status WriteRecord(const std::string& path, const EntryHeader& header, absl::Span<const std::byte> body) {
  const std::string head = EncodeRecordHead(header);
  const absl::Span<const std::byte> head_bytes(reinterpret_cast<const std::byte*>(head.data()), head.size());
  // What a reader would refuse is never written.
  auto decoded = DecodeRecordHead(head_bytes, static_cast<int64_t>(head.size() + body.size()));
  if (!decoded.ok())
    return ErrorStatus(absl::StatusCode::kInternal, "BAD_HEADER", std::string(decoded.status().message()));
  CHUNKKV_RETURN_IF_ERROR(LoadPositions(body, &*decoded));

  return WriteFileAtomically(path, {head_bytes, body}, kOwnerOnly);
}

absl::StatusOr<Record> ReadRecord(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return FileStatus(errno, "open", path);
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return FileStatus(errno, "stat", path);
  if (!S_ISREG(status.st_mode)) return InvalidArgument("NOT_A_RECORD", path + " is no regular file");

  std::vector<std::byte> head(std::min<int64_t>(status.st_size, kLengthBytes));
  CHUNKKV_RETURN_IF_ERROR(ReadAll(file.get(), 0, absl::MakeSpan(head), path));
  const auto head_bytes = SafetensorsHeadBytes(head, status.st_size);
  if (!head_bytes.ok()) return RecordDamaged(absl::StrCat(path, ": ", head_bytes.status().message()));
  head.resize(*head_bytes);
  CHUNKKV_RETURN_IF_ERROR(ReadAll(file.get(), 0, absl::MakeSpan(head), path));
  CHUNKKV_ASSIGN_OR_RETURN(RecordHead decoded, DecodeRecordHead(head, status.st_size));

  Record record;
  if (!Resize(status.st_size - decoded.body_offset, &record.body)) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", path + " is larger than memory");
  }
  CHUNKKV_RETURN_IF_ERROR(ReadAll(file.get(), decoded.body_offset, absl::MakeSpan(record.body), path));
  CHUNKKV_RETURN_IF_ERROR(LoadPositions(record.body, &decoded));
  CHUNKKV_RETURN_IF_ERROR(VerifyBody(decoded.header, record.body));
  record.header = std::move(decoded.header);
  record.tenant_digest = std::move(decoded.tenant_digest);
  return record;
}

}  // namespace chunkkv
