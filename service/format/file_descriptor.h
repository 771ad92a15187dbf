// An open file, closed on destruction.
#ifndef CHUNKKV_SERVICE_FORMAT_FILE_DESCRIPTOR_H_
#define CHUNKKV_SERVICE_FORMAT_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace chunkkv {

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { Close(); }
  bool is_open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }
  // Zero, or -1 with errno set; the descriptor is gone either way.
  int Close() { return descriptor_ < 0 ? 0 : ::close(std::exchange(descriptor_, -1)); }

 private:
  int descriptor_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_FILE_DESCRIPTOR_H_
