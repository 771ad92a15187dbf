// Memory shared with a server on the same host: what lies in it travels without the network.
//
//   auto region = client->AllocateRegion(int64_t{1} << 30);
//   ... K and V in (*region)->bytes() ...
//   client->Put(request, layers);   // arrays that lie in the region are read by the server where they are
//   get.region = region->get();     // and a get writes an entry's tensors there
#ifndef CHUNKKV_CLIENT_REGION_H_
#define CHUNKKV_CLIENT_REGION_H_

#include <cstddef>
#include <memory>

#include "absl/types/span.h"

namespace chunkkv::client {

// Made by a Client, which it must not outlive: by AllocateRegion, page-aligned, zeroed, with every page allocated; or by
// LendDeviceMemory, whose bytes() the host must not touch: what a get writes there is not verified here. Nothing in it
// may change while a put of arrays in it, or a get into it, has not returned; afterwards everything may, also
// where the call failed. Destroyed once nothing of the server touches it any more.
class Region {
 public:
  class Impl;
  explicit Region(std::unique_ptr<Impl> impl);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  absl::Span<std::byte> bytes() const;
  const Impl& impl() const { return *impl_; }

 private:
  const std::unique_ptr<Impl> impl_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_REGION_H_
