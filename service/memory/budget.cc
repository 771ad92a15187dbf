#include "service/memory/budget.h"

#include "service/base/check.h"

namespace chunkkv {

BudgetShare& BudgetShare::operator=(BudgetShare&& other) noexcept {
  if (this != &other) {
    Release();
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void BudgetShare::Shrink(int64_t bytes) { Split(bytes).Release(); }

BudgetShare BudgetShare::Split(int64_t bytes) {
  CHUNKKV_CHECK(bytes >= 0 && bytes <= bytes_);
  bytes_ -= bytes;
  return BudgetShare(budget_, bytes);
}

void BudgetShare::Merge(BudgetShare other) {
  if (budget_ == nullptr) budget_ = other.budget_;
  CHUNKKV_CHECK(other.budget_ == nullptr || other.budget_ == budget_);
  bytes_ += std::exchange(other.bytes_, 0);
}

void BudgetShare::Release() {
  if (budget_ == nullptr) return;
  budget_->used_bytes_.fetch_sub(bytes_, std::memory_order_acq_rel);
  budget_ = nullptr;
  bytes_ = 0;
}

bool MemoryBudget::TryReserve(int64_t bytes, BudgetShare* share) {
  CHUNKKV_CHECK(bytes >= 0);
  int64_t used = used_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_bytes_ - used) return false;
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_acq_rel));
  *share = BudgetShare(this, bytes);
  return true;
}

}  // namespace chunkkv
