// What an emulated thread sees of its surroundings: the functions behind emulated.h. Only inside RunGrid.
#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_THREAD_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_THREAD_H_

#include <cstddef>
#include <cstdint>

namespace chunkkv::simt::emulation {

// A place in a kernel's source: lanes that meet must come from the same one.
struct Site {
  const char* file;
  int line;
  bool operator==(const Site&) const = default;

  // Of the call of the function that has this as its default argument.
  static constexpr Site Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

enum class Access : uint8_t { kLoad, kStore };

struct ThreadPlace {
  int index = 0;
};

struct BlockPlace {
  int index = 0;
  int count = 0;
  int size = 0;
  std::byte* shared_memory = nullptr;
};

const ThreadPlace& CurrentThread();
const BlockPlace& CurrentBlock();

// Returns when all threads of the block are here.
void WaitForBlock(Site site);

// Makes of what 32 lanes gave, `bytes` each, what they all get; in place, in at most 32 * bytes.
using Combine = void (*)(std::byte* values);

// Returns, when all lanes of the warp are here, what they gave, in order of lanes ([32] of `bytes`; what `combine`,
// where set, made of it). Valid until the calling lane's next Exchange.
const std::byte* Exchange(Site site, const void* value, size_t bytes, Combine combine);

// One thread's part of a load or store of global memory. Aborts where the address is not aligned to `bytes`.
void RecordAccess(Site site, Access access, const void* address, size_t bytes);

// Asynchronous copies of 16 bytes. A copy happens at once or when it is waited for, by chance; until it is waited for
// its destination must not be used.
void StartCopy(Site site, void* to_shared, const void* from, bool valid);
void CommitCopies();
void WaitForCopies(int left);

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_THREAD_H_
