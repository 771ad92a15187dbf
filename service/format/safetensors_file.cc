#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/format/file_descriptor.h"
#include "service/format/file_status.h"
#include "service/format/safetensors.h"

namespace chunkkv {

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return FileStatus(errno, "open", path);
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return FileStatus(errno, "stat", path);
  if (!S_ISREG(status.st_mode)) return InvalidArgument("NOT_SAFETENSORS", path + " is no regular file");
  if (status.st_size == 0) return InvalidArgument("NOT_SAFETENSORS", path + " is empty");
  const size_t size = static_cast<size_t>(status.st_size);
  void* map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (map == MAP_FAILED) return FileStatus(errno, "map", path);
  auto header = ParseSafetensors({static_cast<const std::byte*>(map), size}, status.st_size);
  if (!header.ok()) {
    ::munmap(map, size);
    return header.status();
  }
  return SafetensorsFile(map, size, *std::move(header));
}

SafetensorsFile::SafetensorsFile(void* map, size_t size, SafetensorsHeader header)
    : map_(map), size_(size), header_(std::move(header)) {}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept { *this = std::move(other); }

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(map_, other.map_);
  std::swap(size_, other.size_);
  std::swap(header_, other.header_);
  return *this;
}

SafetensorsFile::~SafetensorsFile() {
  if (map_ != nullptr) ::munmap(map_, size_);
}

absl::Span<const std::byte> SafetensorsFile::body() const {
  return absl::Span<const std::byte>(static_cast<const std::byte*>(map_), size_).subspan(header_.body_offset);
}

absl::Span<const std::byte> SafetensorsFile::Bytes(const SafetensorsTensor& tensor) const {
  return body().subspan(tensor.offset, tensor.size_bytes);
}

}  // namespace chunkkv
