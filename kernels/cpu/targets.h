// Instruction sets that Highway shall not build for: those without fixed-size vectors, which arrays of vectors need,
// and those that add nothing here over their neighbours.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | HWY_SSSE3 | HWY_AVX3_DL)
