#include "service/format/digest.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

// Chooses the best instruction set at run time; replaces the XXH3 functions by macros.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

namespace chunkkv {
namespace {

XXH3_state_t* NewState() {
  XXH3_state_t* state = XXH3_createState();
  if (state == nullptr) std::abort();
  return state;
}

Bytes16 Canonical(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Bytes16 bytes;
  std::memcpy(bytes.data(), canonical.digest, bytes.size());
  return bytes;
}

}  // namespace

uint64_t PartChecksum(absl::Span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Bytes16 DigestTensor(absl::Span<const std::byte> bytes) {
  TensorDigester digester;
  digester.Update(bytes);
  return digester.Finish();
}

Bytes16 CombineDigests(absl::Span<const Bytes16> digests) {
  return Canonical(XXH3_128bits(digests.data(), digests.size() * sizeof(Bytes16)));
}

PartDigester::PartDigester() : state_(NewState()) { XXH3_64bits_reset(static_cast<XXH3_state_t*>(state_)); }

PartDigester::~PartDigester() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

PartDigester::PartDigester(PartDigester&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

PartDigester& PartDigester::operator=(PartDigester&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void PartDigester::Update(absl::Span<const std::byte> bytes) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size());
}

uint64_t PartDigester::Finish() {
  XXH3_state_t* state = static_cast<XXH3_state_t*>(state_);
  const uint64_t checksum = XXH3_64bits_digest(state);
  XXH3_64bits_reset(state);
  return checksum;
}

struct TensorDigester::State {
  XXH3_state_t* blocks = NewState();  // XXH3-128 over the blocks' hashes
  XXH3_state_t* block = NewState();   // XXH3-64 of a block that came in pieces
  size_t block_bytes = 0;             // of the block begun
  ~State() {
    XXH3_freeState(blocks);
    XXH3_freeState(block);
  }
  void AddBlock(uint64_t hash) { XXH3_128bits_update(blocks, &hash, sizeof hash); }
  void Begin() {
    XXH3_128bits_reset(blocks);
    XXH3_64bits_reset(block);
    block_bytes = 0;
  }
  void EndBlock() {
    AddBlock(XXH3_64bits_digest(block));
    XXH3_64bits_reset(block);
    block_bytes = 0;
  }
};

TensorDigester::TensorDigester() : state_(new State) { state_->Begin(); }

TensorDigester::~TensorDigester() { delete state_; }

TensorDigester::TensorDigester(TensorDigester&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

TensorDigester& TensorDigester::operator=(TensorDigester&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void TensorDigester::Update(absl::Span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (state_->block_bytes == 0 && bytes.size() >= kDigestBlockBytes) {
      state_->AddBlock(XXH3_64bits(bytes.data(), kDigestBlockBytes));
      bytes.remove_prefix(kDigestBlockBytes);
      continue;
    }
    const size_t piece = std::min(bytes.size(), kDigestBlockBytes - state_->block_bytes);
    XXH3_64bits_update(state_->block, bytes.data(), piece);
    state_->block_bytes += piece;
    bytes.remove_prefix(piece);
    if (state_->block_bytes == kDigestBlockBytes) state_->EndBlock();
  }
}

Bytes16 TensorDigester::Finish() {
  if (state_->block_bytes != 0) state_->EndBlock();
  const Bytes16 digest = Canonical(XXH3_128bits_digest(state_->blocks));
  state_->Begin();
  return digest;
}

}  // namespace chunkkv
