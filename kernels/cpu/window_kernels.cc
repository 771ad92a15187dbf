#include "kernels/cpu/window_kernels.h"

#include <algorithm>
#include <limits>

#include "kernels/common/half.h"
#include "kernels/common/row_address.h"
#include "kernels/cpu/float_rows.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/window_kernels.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace chunkkv::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

// Keys whose products with two vectors of queries fit in registers: 12 sums, 2 queries, 1 key of 16 registers.
constexpr int kTileKeys = 6;
static_assert(kKeyBlock % kTileKeys == 0);
constexpr float kLeast = std::numeric_limits<float>::lowest();
constexpr float kExpFloor = -150.0f;  // exp is 0 from -104 on

int64_t FloatLanesT() { return static_cast<int64_t>(hn::Lanes(FloatTag())); }

HWY_INLINE FloatVec ExpOf(FloatTag d, FloatVec x) { return hn::Exp(d, hn::Max(x, hn::Set(d, kExpFloor))); }

// body(row, token) for the tokens [begin, end) of one head.
template <typename Body>
void ForEachRow(const RowsView& rows, int64_t begin, int64_t end, Body&& body) {
  for (int64_t token = begin; token < end;) {
    const std::byte* row = RowAddress(rows, token);
    const int64_t run_end = std::min(end, token + StridedTokens(rows, token));
    for (; token < run_end; ++token, row += rows.token_stride_bytes) body(row, token);
  }
}

// Asks for the block at `begin`: a head's rows lie apart, which hardware does not foresee.
void PrefetchKeys(const KeySlice& keys, int64_t begin, int64_t head_size) {
  const auto row_bytes = static_cast<int64_t>(DTypeSize(keys.rows.dtype)) * head_size;
  ForEachRow(keys.rows, begin, std::min(begin + kKeyBlock, keys.end), [row_bytes](const std::byte* row, int64_t) {
    for (int64_t at = 0; at < row_bytes; at += 64) hwy::Prefetch(row + at);
  });
}

// Keys of one block as floats, padded with zeros to whole tiles. Returns how many keys are real.
int64_t LoadKeys(const KeySlice& keys, int64_t begin, int64_t head_size, float* key_floats) {
  const int64_t count = std::min(kKeyBlock, keys.end - begin);
  ForEachRow(keys.rows, begin, begin + count, [&](const std::byte* row, int64_t token) {
    ToFloat(row, keys.rows.dtype, head_size, key_floats + (token - begin) * head_size);
  });
  if (keys.scales.data != nullptr) {
    ForEachRow(keys.scales, begin, begin + count, [&](const std::byte* row, int64_t token) {
      const float scale = LoadElement(row, DType::kF32, 0);
      for (int64_t i = 0; i < head_size; ++i) key_floats[(token - begin) * head_size + i] *= scale;
    });
  }
  std::fill(key_floats + count * head_size, key_floats + kKeyBlock * head_size, 0.0f);
  PrefetchKeys(keys, begin + kKeyBlock, head_size);
  return count;
}

// out[k][v * lanes + lane] = dot product of key k and query v * lanes + lane, for `count` keys rounded up to tiles.
template <int kVecs>
HWY_INLINE void Products(FloatTag d, const float* HWY_RESTRICT queries, const float* HWY_RESTRICT key_floats,
                         int64_t head_size, int64_t count, float* HWY_RESTRICT out) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* HWY_RESTRICT q0 = queries;
  const float* HWY_RESTRICT q1 = queries + (kVecs - 1) * head_size * lanes;
  for (int64_t k = 0; k < count; k += kTileKeys) {
    const float* HWY_RESTRICT key = key_floats + k * head_size;
    FloatVec s00 = hn::Zero(d), s10 = s00, s20 = s00, s30 = s00, s40 = s00, s50 = s00;
    FloatVec s01 = s00, s11 = s00, s21 = s00, s31 = s00, s41 = s00, s51 = s00;
    for (int64_t i = 0; i < head_size; ++i) {
      const FloatVec a = hn::Load(d, q0 + i * lanes);
      const FloatVec b = kVecs == 2 ? hn::Load(d, q1 + i * lanes) : a;
      const auto step = [&](int64_t n, FloatVec& s0, FloatVec& s1) HWY_ATTR {
        const FloatVec x = hn::Set(d, key[n * head_size + i]);
        s0 = hn::MulAdd(x, a, s0);
        if constexpr (kVecs == 2) s1 = hn::MulAdd(x, b, s1);
      };
      step(0, s00, s01);
      step(1, s10, s11);
      step(2, s20, s21);
      step(3, s30, s31);
      step(4, s40, s41);
      step(5, s50, s51);
    }
    float* HWY_RESTRICT to = out + k * kVecs * lanes;
    const auto store = [&](int64_t n, FloatVec s0, FloatVec s1) HWY_ATTR {
      hn::StoreU(s0, d, to + n * kVecs * lanes);
      if constexpr (kVecs == 2) hn::StoreU(s1, d, to + n * kVecs * lanes + lanes);
    };
    store(0, s00, s01);
    store(1, s10, s11);
    store(2, s20, s21);
    store(3, s30, s31);
    store(4, s40, s41);
    store(5, s50, s51);
  }
}

void ProductsOf(int64_t vectors, FloatTag d, const float* queries, const float* key_floats, int64_t head_size,
                int64_t count, float* out) {
  if (vectors == 2) {
    Products<2>(d, queries, key_floats, head_size, count, out);
  } else {
    Products<1>(d, queries, key_floats, head_size, count, out);
  }
}

// Logits of one vector of queries against the keys of a block, made from products in place.
struct LogitColumn {
  float* products;  // [keys], `stride` floats apart
  int64_t stride;
  FloatVec window_index;
  int64_t first_window_key;  // block's first key minus P; keys from -first_window_key on lie in the window
  float scale;               // of the products
  float softcap;
};

HWY_INLINE hn::Mask<FloatTag> Sees(FloatTag d, const LogitColumn& column, int64_t k) {
  return hn::Ge(column.window_index, hn::Set(d, static_cast<float>(column.first_window_key + k)));
}

// Finishes the logits (scale, soft cap; what a query does not see becomes the lowest float), returns their maximum, and
// turns `zeros` to NaN where one is not finite.
HWY_INLINE FloatVec FinishLogits(FloatTag d, const LogitColumn& column, int64_t count, FloatVec& zeros) {
  const bool in_window = column.first_window_key + count > 0;
  FloatVec largest = hn::Set(d, kLeast);
  if (!in_window && column.scale == 1 && column.softcap == 0) {
    for (int64_t k = 0; k < count; ++k) {
      const FloatVec logit = hn::LoadU(d, column.products + k * column.stride);
      zeros = hn::MulAdd(logit, hn::Zero(d), zeros);
      largest = hn::Max(largest, logit);
    }
    return largest;
  }
  for (int64_t k = 0; k < count; ++k) {
    float* at = column.products + k * column.stride;
    FloatVec logit = hn::LoadU(d, at);
    if (in_window) logit = hn::IfThenElseZero(Sees(d, column, k), logit);
    logit = hn::Mul(hn::Set(d, column.scale), logit);
    zeros = hn::MulAdd(logit, hn::Zero(d), zeros);
    if (column.softcap != 0) {
      const FloatVec cap = hn::Set(d, column.softcap);
      logit = hn::Mul(cap, hn::Tanh(d, hn::Div(logit, cap)));
    }
    if (in_window) logit = hn::IfThenElse(Sees(d, column, k), logit, hn::Set(d, kLeast));
    hn::StoreU(logit, d, at);
    largest = hn::Max(largest, logit);
  }
  return largest;
}

// Replaces logits by exp(logit - largest), 0 where a query does not see the key; returns their sum.
HWY_INLINE FloatVec ReplaceByExps(FloatTag d, const LogitColumn& column, int64_t count, FloatVec largest) {
  const bool in_window = column.first_window_key + count > 0;
  FloatVec sum = hn::Zero(d);
  for (int64_t k = 0; k < count; ++k) {
    float* at = column.products + k * column.stride;
    FloatVec value = ExpOf(d, hn::Sub(hn::LoadU(d, at), largest));
    if (in_window) value = hn::IfThenElseZero(Sees(d, column, k), value);
    hn::StoreU(value, d, at);
    sum = hn::Add(sum, value);
  }
  return sum;
}

bool ComputePartialsT(const QueryRows& queries, const KeySlice& keys, float* key_floats,
                      const SlicePartials& partials) {
  const FloatTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t row = 0; row < queries.row_count; row += lanes) {
    hn::StoreU(hn::Set(d, kLeast), d, partials.max + row);
    hn::StoreU(hn::Zero(d), d, partials.sum + row);
  }
  FloatVec zeros = hn::Zero(d);
  float* exps = partials.exps;
  float* block_max = partials.block_max;
  for (int64_t begin = keys.begin; begin < keys.end; begin += kKeyBlock, block_max += queries.row_count) {
    const int64_t count = LoadKeys(keys, begin, queries.head_size, key_floats);
    for (int64_t row = 0; row < queries.row_count;) {
      const int64_t vectors = row + 2 * lanes <= queries.row_count ? 2 : 1;
      ProductsOf(vectors, d, queries.packed + row * queries.head_size, key_floats, queries.head_size, count, exps);
      for (int64_t v = 0; v < vectors; ++v, row += lanes) {
        const LogitColumn column{
            exps + v * lanes,         vectors * lanes,       hn::LoadU(d, queries.window_index + row),
            begin - keys.past_length, queries.product_scale, queries.softcap};
        const FloatVec largest = FinishLogits(d, column, count, zeros);
        const FloatVec block_sum = ReplaceByExps(d, column, count, largest);
        hn::StoreU(largest, d, block_max + row);
        const FloatVec before = hn::LoadU(d, partials.max + row);
        const FloatVec after = hn::Max(before, largest);
        const FloatVec rescaled = hn::Mul(hn::LoadU(d, partials.sum + row), ExpOf(d, hn::Sub(before, after)));
        hn::StoreU(hn::MulAdd(block_sum, ExpOf(d, hn::Sub(largest, after)), rescaled), d, partials.sum + row);
        hn::StoreU(after, d, partials.max + row);
      }
      exps += kKeyBlock * vectors * lanes;
    }
  }
  return hn::AllFalse(d, hn::IsNaN(zeros));
}

// token_scores[k] += sum over lanes of sums[k * lanes + lane].
HWY_INLINE void AddLanes(FloatTag d, const float* sums, int64_t count, float* token_scores) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < count; ++k) {
    token_scores[k] += hn::GetLane(hn::SumOfLanes(d, hn::LoadU(d, sums + k * lanes)));
  }
}

HWY_INLINE void ClearLanes(FloatTag d, float* sums) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < kKeyBlock; ++k) hn::StoreU(hn::Zero(d), d, sums + k * lanes);
}

void AddWeightedExpsT(int64_t row_count, const KeySlice& keys, const SlicePartials& partials, const float* max,
                      const float* weight, float* token_scores) {
  const FloatTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN float sums[kKeyBlock * hn::MaxLanes(d)];
  const float* exps = partials.exps;
  const float* block_max = partials.block_max;
  const int64_t end = std::min(keys.end, keys.past_length);
  for (int64_t begin = keys.begin; begin < end; begin += kKeyBlock, block_max += row_count) {
    const int64_t count = std::min(kKeyBlock, end - begin);
    ClearLanes(d, sums);
    for (int64_t row = 0; row < row_count;) {
      const int64_t vectors = row + 2 * lanes <= row_count ? 2 : 1;
      for (int64_t v = 0; v < vectors; ++v, row += lanes) {
        const FloatVec shift = hn::Sub(hn::LoadU(d, block_max + row), hn::LoadU(d, max + row));
        const FloatVec factor = hn::Mul(ExpOf(d, shift), hn::LoadU(d, weight + row));
        for (int64_t k = 0; k < count; ++k) {
          const FloatVec value = hn::LoadU(d, exps + (k * vectors + v) * lanes);
          hn::StoreU(hn::MulAdd(value, factor, hn::LoadU(d, sums + k * lanes)), d, sums + k * lanes);
        }
      }
      exps += kKeyBlock * vectors * lanes;
    }
    AddLanes(d, sums, count, token_scores + begin);
  }
}

bool AddProbabilitiesT(const QueryRows& queries, const KeySlice& keys, const float* lse, float* key_floats,
                       float* token_scores) {
  const FloatTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const FloatVec ceiling = hn::Set(d, 100.0f);  // already Inf: such a sum is refused
  HWY_ALIGN float logits[kKeyBlock * 2 * hn::MaxLanes(d)];
  HWY_ALIGN float sums[kKeyBlock * hn::MaxLanes(d)];
  FloatVec zeros = hn::Zero(d);
  for (int64_t begin = keys.begin; begin < keys.end; begin += kKeyBlock) {
    const int64_t count = LoadKeys(keys, begin, queries.head_size, key_floats);
    const int64_t past_count = std::min(count, keys.past_length - begin);
    ClearLanes(d, sums);
    for (int64_t row = 0; row < queries.row_count;) {
      const int64_t vectors = row + 2 * lanes <= queries.row_count ? 2 : 1;
      ProductsOf(vectors, d, queries.packed + row * queries.head_size, key_floats, queries.head_size, count, logits);
      for (int64_t v = 0; v < vectors; ++v, row += lanes) {
        const LogitColumn column{
            logits + v * lanes,       vectors * lanes,       hn::LoadU(d, queries.window_index + row),
            begin - keys.past_length, queries.product_scale, queries.softcap};
        FinishLogits(d, column, count, zeros);
        const FloatVec shift = hn::LoadU(d, lse + row);
        for (int64_t k = 0; k < past_count; ++k) {
          const FloatVec logit = hn::LoadU(d, column.products + k * column.stride);
          const FloatVec probability = ExpOf(d, hn::Min(hn::Sub(logit, shift), ceiling));
          hn::StoreU(hn::Add(probability, hn::LoadU(d, sums + k * lanes)), d, sums + k * lanes);
        }
      }
    }
    AddLanes(d, sums, past_count, token_scores + begin);
  }
  return hn::AllFalse(d, hn::IsNaN(zeros));
}

}  // namespace chunkkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace chunkkv::cpu {

HWY_EXPORT(FloatLanesT);
HWY_EXPORT(ComputePartialsT);
HWY_EXPORT(AddWeightedExpsT);
HWY_EXPORT(AddProbabilitiesT);

int64_t FloatLanes() { return HWY_DYNAMIC_DISPATCH(FloatLanesT)(); }

bool ComputePartials(const QueryRows& queries, const KeySlice& keys, float* key_floats, const SlicePartials& partials) {
  return HWY_DYNAMIC_DISPATCH(ComputePartialsT)(queries, keys, key_floats, partials);
}

void AddWeightedExps(int64_t row_count, const KeySlice& keys, const SlicePartials& partials, const float* max,
                     const float* weight, float* token_scores) {
  HWY_DYNAMIC_DISPATCH(AddWeightedExpsT)(row_count, keys, partials, max, weight, token_scores);
}

bool AddProbabilities(const QueryRows& queries, const KeySlice& keys, const float* lse, float* key_floats,
                      float* token_scores) {
  return HWY_DYNAMIC_DISPATCH(AddProbabilitiesT)(queries, keys, lse, key_floats, token_scores);
}

}  // namespace chunkkv::cpu
#endif
