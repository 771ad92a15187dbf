#ifndef CHUNKKV_KERNELS_CUDA_SELECT_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_SELECT_KERNEL_H_

#include "kernels/cuda/block_scan.h"
#include "kernels/cuda/select_params.h"

namespace chunkkv::cuda {

// positions = what a visit of the spans by descending key, ties by ascending index, keeps: whole spans while they fit
// into the room, and of the first that does not its first tokens. A block a group. Nothing is sorted: a radix search
// finds the key at which the visit ends, weighing each key by its span's length; then one pass in index order places
// what has a larger key, and of equal ones the first.
struct SelectKernel {
  using Params = SelectParams;
  static constexpr int kThreads = 1024;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kDigitBits = 11;
  static constexpr int kBins = 1 << kDigitBits;
  static size_t SharedBytes(const Params&) { return 32 * sizeof(uint64_t) + (kBins + 2) * sizeof(uint32_t); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int32_t group = simt::BlockIndex(); group < params.group_count; group += simt::BlockCount()) {
      SelectOne(params, params.groups[group]);
    }
  }

 private:
  struct Shared {
    CHUNKKV_DEVICE Shared()
        : of_warps(reinterpret_cast<uint64_t*>(simt::SharedMemory())),
          histogram(reinterpret_cast<uint32_t*>(of_warps + 32)),
          cut(histogram + kBins) {}
    uint64_t* of_warps;   // [32]
    uint32_t* histogram;  // [kBins]
    uint32_t* cut;        // digit, and the room left for it and those below
  };

  // Where the visit ends: spans of larger keys are kept whole; those of this key share `room`.
  struct Cut {
    uint32_t key;
    uint32_t room;
  };

  CHUNKKV_DEVICE static void SelectOne(const Params& params, const SelectGroup& group) {
    for (int32_t n = simt::ThreadIndex(); n < group.spans.begin; n += kThreads) simt::Store(group.positions + n, n);
    const int32_t tail = params.token_count - group.spans.end;
    for (int32_t n = simt::ThreadIndex(); n < tail; n += kThreads) {
      simt::Store(group.positions + (group.budget - tail + n), group.spans.end + n);
    }
    if (group.room > 0) Place(group, FindCut(group));
  }

  CHUNKKV_DEVICE static Cut FindCut(const SelectGroup& group) {
    Cut cut = {0, static_cast<uint32_t>(group.room)};
    uint32_t known = 0;  // bits of the key that are found
    for (int shift = 32 - kDigitBits; known != ~0u; shift = shift > kDigitBits ? shift - kDigitBits : 0) {
      const Shared shared;
      for (int bin = simt::ThreadIndex(); bin < kBins; bin += kThreads) shared.histogram[bin] = 0;
      simt::SyncBlock();
      for (int32_t span = simt::ThreadIndex(); span < group.spans.count; span += kThreads) {
        const uint32_t key = simt::Load(group.keys + span);
        if ((key & known) != cut.key) continue;
        const auto length = static_cast<uint32_t>(SpanEnd(group.spans, span) - SpanBegin(group.spans, span));
        simt::AddShared(shared.histogram + (key >> shift & (kBins - 1)), length);
      }
      simt::SyncBlock();
      FindDigit(cut.room);
      simt::SyncBlock();
      cut.key |= shared.cut[0] << shift;
      cut.room = shared.cut[1];
      known |= static_cast<uint32_t>(kBins - 1) << shift;
      simt::SyncBlock();
    }
    return cut;
  }

  // Leaves in shared memory the digit at which `room` is used up from above, and what is left of it there.
  CHUNKKV_DEVICE static void FindDigit(uint32_t room) {
    constexpr int kBinsPerThread = kBins / kThreads;
    const Shared shared;
    const int top = kBins - 1 - simt::ThreadIndex() * kBinsPerThread;  // this thread's first bin from above
    uint64_t weight = 0;
    for (int i = 0; i < kBinsPerThread; ++i) weight += shared.histogram[top - i];
    uint64_t above = ExclusiveScan<kThreads>(weight, shared.of_warps);
    for (int i = 0; i < kBinsPerThread; ++i) {
      const uint32_t of_bin = shared.histogram[top - i];
      if (above < room && above + of_bin >= room) {
        shared.cut[0] = static_cast<uint32_t>(top - i);
        shared.cut[1] = static_cast<uint32_t>(room - above);
      }
      above += of_bin;
    }
  }

  CHUNKKV_DEVICE static void Place(const SelectGroup& group, const Cut& cut) {
    const Shared shared;
    const int32_t per_thread = (group.spans.count + kThreads - 1) / kThreads;
    const int32_t first = simt::ThreadIndex() * per_thread;
    const int32_t last = first + per_thread < group.spans.count ? first + per_thread : group.spans.count;
    // Lengths of larger keys in the high half, of equal keys in the low half: together below 2^31 tokens each.
    uint64_t lengths = 0;
    for (int32_t span = first; span < last; ++span) lengths += LengthAt(group, cut, span);
    uint64_t before = ExclusiveScan<kThreads>(lengths, shared.of_warps);
    for (int32_t i = 0; i < per_thread; ++i) {
      const int32_t span = first + i;
      const uint64_t length = span < last ? LengthAt(group, cut, span) : 0;
      const auto equal = static_cast<uint32_t>(before);
      const uint32_t equal_kept = equal < cut.room ? equal : cut.room;
      const uint32_t room = cut.room - equal_kept;
      const auto of_equal = static_cast<uint32_t>(length);
      const uint32_t kept = static_cast<uint32_t>(length >> 32) + (of_equal < room ? of_equal : room);
      const uint32_t place = group.spans.begin + static_cast<uint32_t>(before >> 32) + equal_kept;
      WriteSpan(group, kept > 0 ? SpanBegin(group.spans, span) : 0, kept, place);
      before += length;
    }
  }

  // positions[place, place + kept) = begin, begin + 1, ... By all lanes of the warp, each with its own span: short ones
  // by their lane, long ones by all.
  CHUNKKV_DEVICE static void WriteSpan(const SelectGroup& group, int32_t begin, uint32_t kept, uint32_t place) {
    const bool is_long = kept > simt::kWarpSize;
    for (uint32_t n = 0; n < kept && !is_long; ++n) {
      simt::Store(group.positions + place + n, begin + static_cast<int32_t>(n));
    }
    const uint32_t long_lanes = simt::Ballot(is_long);
    for (int lane = 0; lane < simt::kWarpSize; ++lane) {
      if ((long_lanes >> lane & 1) == 0) continue;
      const int32_t of_begin = simt::Shuffle(begin, lane);
      const uint32_t of_kept = simt::Shuffle(kept, lane);
      const uint32_t of_place = simt::Shuffle(place, lane);
      for (uint32_t n = simt::Lane(); n < of_kept; n += simt::kWarpSize) {
        simt::Store(group.positions + of_place + n, of_begin + static_cast<int32_t>(n));
      }
    }
  }

  CHUNKKV_DEVICE static uint64_t LengthAt(const SelectGroup& group, const Cut& cut, int32_t span) {
    const uint32_t key = simt::Load(group.keys + span);
    if (key < cut.key) return 0;
    const auto length = static_cast<uint64_t>(SpanEnd(group.spans, span) - SpanBegin(group.spans, span));
    return key > cut.key ? length << 32 : length;
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SELECT_KERNEL_H_
