#include "client/cpp/receive_buffer.h"

#include <sys/mman.h>

namespace chunkkv::client {

std::shared_ptr<void> AllocateReceiveBuffer(size_t size_bytes) {
  if (size_bytes == 0) size_bytes = 1;
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, size_bytes, MADV_HUGEPAGE);
  return {memory, [size_bytes](void* address) { munmap(address, size_bytes); }};
}

}  // namespace chunkkv::client
