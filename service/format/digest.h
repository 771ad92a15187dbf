// Digests of tensors: XXH3-128 (canonical byte order) over the XXH3-64s, as little-endian uint64, of consecutive
// 16 KiB blocks, so that cores and GPUs can compute it in parallel and a damaged block can be named.
#ifndef CHUNKKV_SERVICE_FORMAT_DIGEST_H_
#define CHUNKKV_SERVICE_FORMAT_DIGEST_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "chunkkv/kernels/digest_block.h"
#include "service/format/bytes.h"

namespace chunkkv {

// XXH3-64 of a part's bytes, as in TensorPayload.checksum.
uint64_t PartChecksum(absl::Span<const std::byte> bytes);

// PartChecksum of a part that lies in several pieces, fed in order. Finish ends one part; the next Update begins
// another. Used by one thread at a time; a moved-from one may only be destroyed or assigned to.
class PartDigester {
 public:
  PartDigester();
  ~PartDigester();
  PartDigester(PartDigester&&) noexcept;
  PartDigester& operator=(PartDigester&&) noexcept;
  void Update(absl::Span<const std::byte> bytes);
  uint64_t Finish();

 private:
  void* state_;
};

Bytes16 DigestTensor(absl::Span<const std::byte> bytes);

// DigestTensor of bytes that come in pieces of any sizes; otherwise as PartDigester.
class TensorDigester {
 public:
  TensorDigester();
  ~TensorDigester();
  TensorDigester(TensorDigester&&) noexcept;
  TensorDigester& operator=(TensorDigester&&) noexcept;
  void Update(absl::Span<const std::byte> bytes);
  Bytes16 Finish();

 private:
  struct State;
  State* state_;
};

// XXH3-128 (canonical) over digests of 16 bytes each. Over the digests of a body's tensors it is the entry digest; over
// those of K and V as sent (per attention layer k, v, k_scale, v_scale; whole and token-major; EXTERNAL: the rows sent)
// the content digest.
Bytes16 CombineDigests(absl::Span<const Bytes16> digests);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_DIGEST_H_
