#include "kernels/simt/emulation/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace chunkkv::simt::emulation {
namespace {

constexpr int kLanes = 32;
constexpr size_t kSharedAlignment = 128;
constexpr auto kGarbage = std::byte{0xff};  // NaN in every float format

thread_local Block* current_block = nullptr;

}  // namespace

Block& Block::Current() { return *current_block; }

Block::Block(const GridShape& shape, const std::function<void()>& kernel, std::mt19937_64& random, Traffic* traffic)
    : kernel_(kernel), random_(random), traffic_(traffic), shared_bytes_(shape.shared_bytes) {
  place_.count = shape.block_count;
  place_.size = shape.block_size;
  for (int i = 0; i < shape.block_size; ++i) {
    threads_.push_back(std::make_unique<Thread>());
    threads_.back()->place.index = i;
    threads_.back()->fiber = TakeFiber();
  }
  warps_.resize(shape.block_size / kLanes);
}

Block::~Block() {
  for (const auto& thread : threads_) KeepFiber(std::move(thread->fiber));
}

void Block::Run(int index) {
  place_.index = index;
  // A fresh allocation, placed so that it ends where the kernel's shared memory does: a sanitizer sees what goes past
  // it.
  std::vector<std::byte>(kSharedAlignment + shared_bytes_, kGarbage).swap(shared_);
  std::byte* end = shared_.data() + shared_.size();
  place_.shared_memory = end - shared_bytes_;
  place_.shared_memory -= reinterpret_cast<uintptr_t>(place_.shared_memory) % kSharedAlignment;
  for (const auto& thread : threads_) {
    thread->fiber->Start(&Block::RunThread, this);
    thread->waits = false;
    thread->visits.clear();
    runnable_.push_back(thread.get());
  }
  Block* outer = std::exchange(current_block, this);
  size_t left = threads_.size();
  while (!runnable_.empty()) {
    const size_t chosen = random_() % runnable_.size();
    running_ = std::exchange(runnable_[chosen], runnable_.back());
    runnable_.pop_back();
    running_->fiber->Resume();
    if (running_->fiber->HasEnded()) --left;
  }
  current_block = outer;
  if (left == 0) return;
  for (const auto& thread : threads_) {
    if (!thread->waits) continue;
    running_ = thread.get();
    Fail("waits for threads that never come", thread->waits_at);
  }
}

void Block::RunThread(void* block) {
  auto* self = static_cast<Block*>(block);
  Thread* thread = self->running_;
  self->kernel_();
  if (!thread->open_copies.empty() || !thread->copies.empty()) self->Fail("ends with copies not waited for", {"", 0});
}

void Block::Fail(const char* what, Site site) const {
  std::fprintf(stderr, "simt emulation: block %d, thread %d %s (%s:%d)\n", place_.index, running_->place.index, what,
               site.file, site.line);
  std::abort();
}

void Block::Stop(Site site) {
  Thread* thread = running_;
  thread->waits = true;
  thread->waits_at = site;
  thread->fiber->Yield();
}

void Block::Release(int first, int count) {
  for (int i = first; i < first + count; ++i) {
    threads_[i]->waits = false;
    runnable_.push_back(threads_[i].get());
  }
}

void Block::WaitForBlock(Site site) {
  if (arrived_ == 0) barrier_site_ = site;
  if (!(barrier_site_ == site)) Fail("is at another barrier than its block", site);
  if (++arrived_ == place_.size) {
    arrived_ = 0;
    Release(0, place_.size);
  }
  Stop(site);
}

const std::byte* Block::Exchange(Site site, const void* value, size_t bytes, Combine combine) {
  Thread* thread = running_;
  const int lane = thread->place.index % kLanes;
  Warp& warp = warps_[thread->place.index / kLanes];
  if (warp.arrived == 0) warp.site = site;
  if (!(warp.site == site)) Fail("is at another place than its warp", site);
  std::vector<std::byte>& values = warp.values[thread->exchange_count++ % 2];
  if (values.size() < kLanes * bytes) values.resize(kLanes * bytes);
  if (bytes > 0) std::memcpy(values.data() + lane * bytes, value, bytes);
  if (++warp.arrived == kLanes) {
    if (combine != nullptr) combine(values.data());
    warp.arrived = 0;
    Release(thread->place.index - lane, kLanes);
  }
  Stop(site);
  return values.data();
}

void Block::RecordAccess(Site site, Access access, const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) Fail("accesses memory that is not aligned", site);
  if (traffic_ == nullptr) return;
  const int64_t nth = running_->visits[{site.file, site.line}]++;
  const int64_t warp = int64_t{place_.index} * static_cast<int64_t>(warps_.size()) + running_->place.index / kLanes;
  traffic_->Add(warp, site, nth, access, address, bytes);
}

void Block::StartCopy(Site site, void* to_shared, const void* from, bool valid) {
  Copy copy{static_cast<std::byte*>(to_shared), {}, random_() % 2 == 0};
  if (reinterpret_cast<uintptr_t>(to_shared) % copy.bytes.size() != 0) Fail("copies to memory not aligned", site);
  if (valid) {
    RecordAccess(site, Access::kLoad, from, copy.bytes.size());
    std::memcpy(copy.bytes.data(), from, copy.bytes.size());
  }
  if (copy.is_done) {
    std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
  } else {
    std::fill_n(copy.to, copy.bytes.size(), kGarbage);
  }
  running_->open_copies.push_back(copy);
}

void Block::CommitCopies() { running_->copies.push_back(std::exchange(running_->open_copies, {})); }

void Block::WaitForCopies(int left) {
  auto& groups = running_->copies;
  while (static_cast<int>(groups.size()) > left) {
    for (const Copy& copy : groups.front()) {
      if (!copy.is_done) std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
    }
    groups.erase(groups.begin());
  }
}

const ThreadPlace& CurrentThread() { return Block::Current().thread(); }
const BlockPlace& CurrentBlock() { return Block::Current().place(); }
void WaitForBlock(Site site) { Block::Current().WaitForBlock(site); }
const std::byte* Exchange(Site site, const void* value, size_t bytes, Combine combine) {
  return Block::Current().Exchange(site, value, bytes, combine);
}
void RecordAccess(Site site, Access access, const void* address, size_t bytes) {
  Block::Current().RecordAccess(site, access, address, bytes);
}
void StartCopy(Site site, void* to_shared, const void* from, bool valid) {
  Block::Current().StartCopy(site, to_shared, from, valid);
}
void CommitCopies() { Block::Current().CommitCopies(); }
void WaitForCopies(int left) { Block::Current().WaitForCopies(left); }

}  // namespace chunkkv::simt::emulation
