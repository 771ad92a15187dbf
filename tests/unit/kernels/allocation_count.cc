#include "tests/unit/kernels/allocation_count.h"

#include <cstdlib>
#include <new>

namespace {
thread_local bool is_counting = false;
thread_local int allocation_count = 0;
}  // namespace

[[gnu::noinline]] void* operator new(size_t bytes) {
  if (is_counting) ++allocation_count;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace chunkkv::testing {

AllocationCount::AllocationCount() {
  allocation_count = 0;
  is_counting = true;
}

int AllocationCount::Stop() {
  is_counting = false;
  return allocation_count;
}

}  // namespace chunkkv::testing
