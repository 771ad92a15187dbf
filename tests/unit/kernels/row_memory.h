// Memory for the K or V rows of one layer in any layout, as callers and engines hold them.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_ROW_MEMORY_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_ROW_MEMORY_H_

#include <cstdint>
#include <random>
#include <vector>

#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv::testing {

enum class RowLayout {
  kTokenMajor,
  kHeadMajor,
  kStrided,         // a slice of a larger tensor, oddly placed
  kPaged,           // blocks [block_token_count, head_count, head_size], in any order, between spare ones
  kPagedHeadMajor,  // the second halves of blocks [2, head_count, block_token_count, head_size], likewise
};
inline constexpr RowLayout kRowLayouts[] = {RowLayout::kTokenMajor, RowLayout::kHeadMajor, RowLayout::kStrided,
                                            RowLayout::kPaged, RowLayout::kPagedHeadMajor};

constexpr bool IsPaged(RowLayout layout) { return layout == RowLayout::kPaged || layout == RowLayout::kPagedHeadMajor; }

struct RowShape {
  DType dtype = DType::kF32;
  int64_t token_count = 0;
  int32_t head_count = 1;
  int32_t head_size = 1;
  int32_t block_token_count = 16;  // of paged layouts
};

class RowMemory {
 public:
  RowMemory() = default;
  // Rows, what lies between them and spare blocks hold random bytes that are small and finite as elements.
  RowMemory(const RowShape& shape, RowLayout layout, std::mt19937& random);

  RowsView Rows() const { return View<const std::byte>(bytes_.data()); }
  MutableRowsView MutableRows() { return View<std::byte>(bytes_.data()); }

  // Everything, spare blocks and gaps included.
  std::vector<std::byte>& bytes() { return bytes_; }
  // Of a paged layout: [ceil(token_count / block_token_count)], in [0, Rows().block_count).
  std::vector<int32_t>& block_ids() { return block_ids_; }

 private:
  template <typename Byte>
  BasicRowsView<Byte> View(Byte* bytes) const;

  RowsView strides_;  // without addresses
  int64_t offset_ = 0;
  std::vector<std::byte> bytes_;
  std::vector<int32_t> block_ids_;
};

// Bytes from `rows.data` to one head of one token.
int64_t HeadOffset(const RowsView& rows, int64_t token, int64_t head);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_ROW_MEMORY_H_
