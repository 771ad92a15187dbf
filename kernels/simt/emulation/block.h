#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_BLOCK_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_BLOCK_H_

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "kernels/simt/emulation/fiber.h"
#include "kernels/simt/emulation/grid.h"
#include "kernels/simt/emulation/thread.h"

namespace chunkkv::simt::emulation {

// The threads of one block and their scheduler. Runs the grid's blocks one after the other, on the same fibers.
class Block {
 public:
  Block(const GridShape& shape, const std::function<void()>& kernel, std::mt19937_64& random, Traffic* traffic);

  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void Run(int index);

  // What thread.h's functions do, for the thread that runs.
  const ThreadPlace& thread() const { return running_->place; }
  const BlockPlace& place() const { return place_; }
  void WaitForBlock(Site site);
  const std::byte* Exchange(Site site, const void* value, size_t bytes, Combine combine);
  void RecordAccess(Site site, Access access, const void* address, size_t bytes);
  void StartCopy(Site site, void* to_shared, const void* from, bool valid);
  void CommitCopies();
  void WaitForCopies(int left);

  static Block& Current();

 private:
  struct Copy {
    std::byte* to;
    std::array<std::byte, 16> bytes;  // read when the copy started
    bool is_done;
  };
  struct Thread {
    ThreadPlace place;
    std::unique_ptr<Fiber> fiber;
    Site waits_at{};
    bool waits = false;
    int exchange_count = 0;
    std::vector<std::vector<Copy>> copies;  // committed groups, oldest first
    std::vector<Copy> open_copies;
    std::map<std::pair<const char*, int>, int64_t> visits;  // of places that access global memory
  };
  struct Warp {
    int arrived = 0;
    Site site{};
    std::array<std::vector<std::byte>, 2> values;  // of this exchange and the one before
  };

  static void RunThread(void* block);
  void Stop(Site site);
  void Release(int first, int count);
  [[noreturn]] void Fail(const char* what, Site site) const;

  BlockPlace place_;
  const std::function<void()>& kernel_;
  std::mt19937_64& random_;
  Traffic* traffic_;
  std::vector<std::byte> shared_;
  size_t shared_bytes_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  int arrived_ = 0;  // at the block's barrier
  Site barrier_site_{};
  std::vector<Thread*> runnable_;
  Thread* running_ = nullptr;
};

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_BLOCK_H_
