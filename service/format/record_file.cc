#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/file_descriptor.h"
#include "service/format/file_status.h"
#include "service/format/record.h"
#include "service/format/record_metadata.h"
#include "service/format/safetensors_head.h"

namespace chunkkv {
namespace {

// A file that is removed again unless it was renamed to its place.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path)
      : path_(path + ".tmp.XXXXXX"), file_(::mkostemp(path_.data(), O_CLOEXEC)), is_created_(file_.is_open()) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (is_created_ && !is_renamed_) ::unlink(path_.c_str());
  }
  FileDescriptor& file() { return file_; }
  const std::string& path() const { return path_; }

  absl::Status RenameTo(const std::string& path) {
    if (::rename(path_.c_str(), path.c_str()) != 0) return FileStatus(errno, "rename to", path);
    is_renamed_ = true;
    return absl::OkStatus();
  }

 private:
  std::string path_;
  FileDescriptor file_;
  const bool is_created_;
  bool is_renamed_ = false;
};

absl::Status WriteAll(int file, absl::Span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FileStatus(written < 0 ? errno : EIO, "write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

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

absl::Status SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const FileDescriptor file(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) return FileStatus(errno, "open", directory);
  if (::fsync(file.get()) != 0) return FileStatus(errno, "sync", directory);
  return absl::OkStatus();
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

  TemporaryFile temporary(path);
  FileDescriptor& file = temporary.file();
  if (!file.is_open()) return FileStatus(errno, "create", temporary.path());
  CHUNKKV_RETURN_IF_ERROR(WriteAll(file.get(), head_bytes, temporary.path()));
  CHUNKKV_RETURN_IF_ERROR(WriteAll(file.get(), body, temporary.path()));
  if (::fdatasync(file.get()) != 0) return FileStatus(errno, "sync", temporary.path());
  if (file.Close() != 0) return FileStatus(errno, "close", temporary.path());
  CHUNKKV_RETURN_IF_ERROR(temporary.RenameTo(path));
  return SyncDirectoryOf(path);
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
