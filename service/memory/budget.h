// A byte budget that is never exceeded: whoever wants memory reserves it first.
#ifndef CHUNKKV_SERVICE_MEMORY_BUDGET_H_
#define CHUNKKV_SERVICE_MEMORY_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace chunkkv {

class MemoryBudget;

// Bytes held of a budget, given back on destruction. Move-only.
class BudgetShare {
 public:
  BudgetShare() = default;
  BudgetShare(BudgetShare&& other) noexcept { *this = std::move(other); }
  BudgetShare& operator=(BudgetShare&& other) noexcept;
  ~BudgetShare() { Release(); }
  int64_t bytes() const { return bytes_; }
  // Gives `bytes` of this share back early, or hands them to the returned share.
  void Shrink(int64_t bytes);
  BudgetShare Split(int64_t bytes);
  // Takes over `other`, which must be of the same budget or empty.
  void Merge(BudgetShare other);
  void Release();

 private:
  friend class MemoryBudget;
  BudgetShare(MemoryBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}
  MemoryBudget* budget_ = nullptr;
  int64_t bytes_ = 0;
};

// Thread-safe, lock-free. Must outlive its shares.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  // False where it does not fit; never waits, never evicts.
  bool TryReserve(int64_t bytes, BudgetShare* share);
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t limit_bytes() const { return limit_bytes_; }

 private:
  friend class BudgetShare;
  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_MEMORY_BUDGET_H_
