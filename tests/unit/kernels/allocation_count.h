#ifndef CHUNKKV_TESTS_UNIT_KERNELS_ALLOCATION_COUNT_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_ALLOCATION_COUNT_H_

namespace chunkkv::testing {

// Counts what operator new is asked for by this thread, from here to Stop. A program that links it has that operator.
class AllocationCount {
 public:
  AllocationCount();
  int Stop();
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_ALLOCATION_COUNT_H_
