#include "service/format/atomic_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "service/base/status_macros.h"
#include "service/format/file_descriptor.h"
#include "service/format/file_status.h"

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

absl::Status SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const FileDescriptor file(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open()) return FileStatus(errno, "open", directory);
  if (::fsync(file.get()) != 0) return FileStatus(errno, "sync", directory);
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteFileAtomically(const std::string& path, std::initializer_list<absl::Span<const std::byte>> pieces,
                                 mode_t mode) {
  TemporaryFile temporary(path);
  FileDescriptor& file = temporary.file();
  if (!file.is_open()) return FileStatus(errno, "create", temporary.path());
  if (::fchmod(file.get(), mode) != 0) return FileStatus(errno, "chmod", temporary.path());
  for (const absl::Span<const std::byte> piece : pieces) {
    CHUNKKV_RETURN_IF_ERROR(WriteAll(file.get(), piece, temporary.path()));
  }
  if (::fdatasync(file.get()) != 0) return FileStatus(errno, "sync", temporary.path());
  if (file.Close() != 0) return FileStatus(errno, "close", temporary.path());
  CHUNKKV_RETURN_IF_ERROR(temporary.RenameTo(path));
  return SyncDirectoryOf(path);
}

}  // namespace chunkkv
