// What a Region is made of.
#ifndef CHUNKKV_CLIENT_CPP_REGION_IMPL_H_
#define CHUNKKV_CLIENT_CPP_REGION_IMPL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/client/region.h"
#include "chunkkv/v1/transport.pb.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/exported_memory.h"

namespace chunkkv::client {

class Region::Impl {
 public:
  static absl::StatusOr<std::unique_ptr<Impl>> Allocate(Client::Impl& client, int64_t size_bytes);
  static absl::StatusOr<std::unique_ptr<Impl>> LendDevice(Client::Impl& client, void* data, int64_t size_bytes);
  ~Impl();

  absl::Span<std::byte> bytes() const { return bytes_; }
  // Whether the host may touch them.
  bool is_on_host() const { return is_mapped_; }
  // As it was registered.
  const std::string& id() const { return id_; }

 private:
  explicit Impl(Client::Impl& client) : client_(client) {}
  absl::Status Lend(int64_t size_bytes);
  absl::Status LendExported(const ExportedMemory& exported);
  absl::Status Register(v1::RegisterRegionRequest request);

  Client::Impl& client_;
  absl::Span<std::byte> bytes_;
  bool is_mapped_ = false;  // by this
  std::string id_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_REGION_IMPL_H_
