// What a Region is made of.
#ifndef CHUNKKV_CLIENT_CPP_REGION_IMPL_H_
#define CHUNKKV_CLIENT_CPP_REGION_IMPL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/client/region.h"
#include "client/cpp/client_impl.h"

namespace chunkkv::client {

class Region::Impl {
 public:
  static absl::StatusOr<std::unique_ptr<Impl>> Allocate(Client::Impl& client, int64_t size_bytes);
  ~Impl();

  absl::Span<std::byte> bytes() const { return bytes_; }
  // As it was registered.
  const std::string& id() const { return id_; }

 private:
  explicit Impl(Client::Impl& client) : client_(client) {}
  absl::Status Lend(int64_t size_bytes);
  absl::Status Register(int descriptor);

  Client::Impl& client_;
  absl::Span<std::byte> bytes_;
  std::string id_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_REGION_IMPL_H_
