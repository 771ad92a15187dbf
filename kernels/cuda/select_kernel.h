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
  static constexpr int kWarps = kThreads / simt::kWarpSize;
  static constexpr int kLoadsInFlight = 4;
  static constexpr int32_t kMostSharedKeys = 22528;  // with the rest 97 KB
  static size_t SharedBytes(const Params& params) {
    const int32_t keys = params.most_spans <= kMostSharedKeys ? params.most_spans : kMostSharedKeys;
    return kWarps * sizeof(uint64_t) + (kBins + 2 + keys) * sizeof(uint32_t);
  }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int32_t group = simt::BlockIndex(); group < params.group_count; group += simt::BlockCount()) {
      SelectOne(params, params.groups[group]);
    }
  }

 private:
  struct Shared {
    CHUNKKV_DEVICE Shared()
        : of_warps(reinterpret_cast<uint64_t*>(simt::SharedMemory())),
          histogram(reinterpret_cast<uint32_t*>(of_warps + kWarps)),
          cut(histogram + kBins),
          keys(cut + 2) {}
    uint64_t* of_warps;   // [kWarps]
    uint32_t* histogram;  // [kBins]
    uint32_t* cut;        // digit, and the room left for it and those below
    uint32_t* keys;       // the group's, where it has at most kMostSharedKeys
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
    if (group.room == 0) return;
    if (group.spans.count <= kMostSharedKeys) {
      const Shared shared;
      for (int32_t span = simt::ThreadIndex(); span < group.spans.count; span += kThreads) {
        shared.keys[span] = simt::Load(group.keys + span);
      }
      simt::SyncBlock();
    }
    Place(group, FindCut(group));
    simt::SyncBlock();  // before shared memory holds the next group's
  }

  CHUNKKV_DEVICE static uint32_t KeyOf(const SelectGroup& group, int32_t span) {
    return group.spans.count <= kMostSharedKeys ? Shared().keys[span] : simt::Load(group.keys + span);
  }

  CHUNKKV_DEVICE static Cut FindCut(const SelectGroup& group) {
    Cut cut = {0, static_cast<uint32_t>(group.room)};
    uint32_t known = 0;  // bits of the key that are found
    for (int shift = 32 - kDigitBits; known != ~0u; shift = shift > kDigitBits ? shift - kDigitBits : 0) {
      const Shared shared;
      for (int bin = simt::ThreadIndex(); bin < kBins; bin += kThreads) shared.histogram[bin] = 0;
      simt::SyncBlock();
      for (int32_t at = simt::ThreadIndex(); at < group.spans.count; at += kThreads * kLoadsInFlight) {
        uint32_t keys[kLoadsInFlight];
        CHUNKKV_UNROLL for (int i = 0; i < kLoadsInFlight; ++i) {
          const int32_t span = at + i * kThreads;
          keys[i] = span < group.spans.count ? KeyOf(group, span) : 0;
        }
        CHUNKKV_UNROLL for (int i = 0; i < kLoadsInFlight; ++i) {
          const int32_t span = at + i * kThreads;
          if (span >= group.spans.count || (keys[i] & known) != cut.key) continue;
          const auto length = static_cast<uint32_t>(SpanEnd(group.spans, span) - SpanBegin(group.spans, span));
          simt::AddShared(shared.histogram + (keys[i] >> shift & (kBins - 1)), length);
        }
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
    uint64_t above = ExclusiveScan(weight, shared.of_warps);
    for (int i = 0; i < kBinsPerThread; ++i) {
      const uint32_t of_bin = shared.histogram[top - i];
      if (above < room && above + of_bin >= room) {
        shared.cut[0] = static_cast<uint32_t>(top - i);
        shared.cut[1] = static_cast<uint32_t>(room - above);
      }
      above += of_bin;
    }
  }

  // A warp places a run of spans, a lane one at a time.
  CHUNKKV_DEVICE static void Place(const SelectGroup& group, const Cut& cut) {
    const int32_t per_warp = (group.spans.count + kThreads - 1) / kThreads * simt::kWarpSize;
    const int32_t first = simt::Warp() * per_warp + simt::Lane();
    // Lengths of larger keys in the high half, of equal keys in the low half: together below 2^31 tokens each.
    uint64_t lengths = 0;
    for (int32_t i = 0; i < per_warp; i += simt::kWarpSize) lengths += LengthAt(group, cut, first + i);
    uint64_t before = SumOfWarpsBefore(InclusiveScanOfWarp(lengths), Shared().of_warps);
    uint64_t next_length = LengthAt(group, cut, first);
    for (int32_t i = 0; i < per_warp; i += simt::kWarpSize) {
      const int32_t span = first + i;
      const uint64_t length = next_length;
      next_length = LengthAt(group, cut, span + simt::kWarpSize);  // on its way while this one is placed
      const uint64_t up_to = InclusiveScanOfWarp(length);
      const uint32_t begin = PlaceAfter(group, cut, before + up_to - length);
      const uint32_t end = PlaceAfter(group, cut, before + up_to);
      WriteSpans(group, end > begin ? SpanBegin(group.spans, span) : 0, begin, end);
      before += simt::Shuffle(up_to, simt::kWarpSize - 1);
    }
  }

  // Index in `positions` of what follows spans of these lengths.
  CHUNKKV_DEVICE static uint32_t PlaceAfter(const SelectGroup& group, const Cut& cut, uint64_t lengths) {
    const auto equal = static_cast<uint32_t>(lengths);
    return group.spans.begin + static_cast<uint32_t>(lengths >> 32) + (equal < cut.room ? equal : cut.room);
  }

  // positions[begin, end) = token, token + 1, ... By all lanes of the warp, each with its own span; the lanes' places
  // follow each other. A lane writes each 32nd of all, and finds whose it is by a binary search.
  CHUNKKV_DEVICE static void WriteSpans(const SelectGroup& group, int32_t token, uint32_t begin, uint32_t end) {
    const uint32_t of_warp_end = simt::Shuffle(end, simt::kWarpSize - 1);
    for (uint32_t at = simt::Shuffle(begin, 0); at < of_warp_end; at += simt::kWarpSize) {
      const uint32_t place = at + simt::Lane();
      int owner = 0;  // the last lane that begins at `place` or before
      CHUNKKV_UNROLL for (int step = simt::kWarpSize / 2; step > 0; step /= 2) {
        if (simt::Shuffle(begin, owner + step) <= place) owner += step;
      }
      const int32_t shift = simt::Shuffle(token - static_cast<int32_t>(begin), owner);
      if (place < of_warp_end) simt::Store(group.positions + place, shift + static_cast<int32_t>(place));
    }
  }

  CHUNKKV_DEVICE static uint64_t LengthAt(const SelectGroup& group, const Cut& cut, int32_t span) {
    if (span >= group.spans.count) return 0;
    const uint32_t key = KeyOf(group, span);
    if (key < cut.key) return 0;
    const auto length = static_cast<uint64_t>(SpanEnd(group.spans, span) - SpanBegin(group.spans, span));
    return key > cut.key ? length << 32 : length;
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SELECT_KERNEL_H_
