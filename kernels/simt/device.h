// simt.h on a GPU, sm_80 and later. Source: PTX ISA.
#ifndef CHUNKKV_KERNELS_SIMT_DEVICE_H_
#define CHUNKKV_KERNELS_SIMT_DEVICE_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#define CHUNKKV_DEVICE __device__ __forceinline__
#define CHUNKKV_HOST_DEVICE __host__ __device__
#define CHUNKKV_UNROLL _Pragma("unroll")

namespace chunkkv::simt {

CHUNKKV_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
CHUNKKV_DEVICE int BlockSize() { return static_cast<int>(blockDim.x); }
CHUNKKV_DEVICE int BlockIndex() { return static_cast<int>(blockIdx.x); }
CHUNKKV_DEVICE int BlockCount() { return static_cast<int>(gridDim.x); }
CHUNKKV_DEVICE int Lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }
CHUNKKV_DEVICE int Warp() { return static_cast<int>(threadIdx.x) / kWarpSize; }

CHUNKKV_DEVICE void SyncBlock() { __syncthreads(); }
CHUNKKV_DEVICE void SyncWarp() { __syncwarp(); }

template <typename T>
CHUNKKV_DEVICE T Shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
template <typename T>
CHUNKKV_DEVICE T ShuffleXor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
template <typename T>
CHUNKKV_DEVICE T ShuffleUp(T value, int delta) {
  return __shfl_up_sync(0xffffffffu, value, delta);
}
CHUNKKV_DEVICE uint32_t Ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

CHUNKKV_DEVICE std::byte* SharedMemory() {
  extern __shared__ __align__(128) std::byte shared_memory[];
  return shared_memory;
}

CHUNKKV_DEVICE uint32_t AddShared(uint32_t* address, uint32_t value) { return atomicAdd(address, value); }

CHUNKKV_DEVICE void MinGlobal(uint64_t* address, uint64_t value) {
  atomicMin(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
}

namespace internal {

template <size_t kBytes>
struct Word;
template <>
struct Word<1> {
  using Type = unsigned char;
};
template <>
struct Word<2> {
  using Type = unsigned short;
};
template <>
struct Word<4> {
  using Type = unsigned int;
};
template <>
struct Word<8> {
  using Type = unsigned long long;
};

template <typename To, typename From>
CHUNKKV_DEVICE To SameBits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace internal

template <typename T>
CHUNKKV_DEVICE T Load(const T* address) {
  if constexpr (sizeof(T) == 16) {
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(address)
                 : "memory");
    return internal::SameBits<T>(v);
  } else {
    return internal::SameBits<T>(*reinterpret_cast<const typename internal::Word<sizeof(T)>::Type*>(address));
  }
}

template <typename T>
CHUNKKV_DEVICE T Stream(const T* address) {
  if constexpr (sizeof(T) == 16) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(address));
    return internal::SameBits<T>(v);
  } else {
    return internal::SameBits<T>(__ldcs(reinterpret_cast<const typename internal::Word<sizeof(T)>::Type*>(address)));
  }
}

template <typename T>
CHUNKKV_DEVICE void Store(T* address, const T& value) {
  if constexpr (sizeof(T) == 16) {
    const uint4 v = internal::SameBits<uint4>(value);
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
  } else {
    using Word = typename internal::Word<sizeof(T)>::Type;
    *reinterpret_cast<Word*>(address) = internal::SameBits<Word>(value);
  }
}

CHUNKKV_DEVICE void CopyAsync(void* to_shared, const void* from, bool valid) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(to_shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
CHUNKKV_DEVICE void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
CHUNKKV_DEVICE void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

template <typename Element>
CHUNKKV_DEVICE void Mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<Element, F16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

CHUNKKV_DEVICE uint64_t MulHigh(uint64_t a, uint64_t b) { return __umul64hi(a, b); }

CHUNKKV_DEVICE float Max(float a, float b) { return fmaxf(a, b); }

CHUNKKV_DEVICE float Exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

CHUNKKV_DEVICE float Reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

CHUNKKV_DEVICE float Log2(float x) { return log2f(x); }

CHUNKKV_DEVICE float ToFloat(F16 x) { return __half2float(internal::SameBits<__half>(x)); }
CHUNKKV_DEVICE float ToFloat(BF16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
CHUNKKV_DEVICE F16 ToF16(float x) { return internal::SameBits<F16>(__float2half_rn(x)); }
CHUNKKV_DEVICE BF16 ToBF16(float x) { return internal::SameBits<BF16>(__float2bfloat16_rn(x)); }

template <typename To, typename From>
CHUNKKV_DEVICE To BitCast(const From& from) {
  return internal::SameBits<To>(from);
}

}  // namespace chunkkv::simt

#endif  // CHUNKKV_KERNELS_SIMT_DEVICE_H_
