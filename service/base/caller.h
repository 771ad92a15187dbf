// Who calls.
#ifndef CHUNKKV_SERVICE_BASE_CALLER_H_
#define CHUNKKV_SERVICE_BASE_CALLER_H_

#include <cstdint>
#include <memory>
#include <string>

namespace chunkkv {

struct Caller {
  std::string tenant{};                  // whose entries it works with: its own name in the store, or a share group's
  std::string account{};                 // whose credentials it showed; empty: nobody asks for any
  std::weak_ptr<const void> known_by{};  // the tenants that were known when it showed them
  int64_t proven_ms = 0;                 // and when that was
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_CALLER_H_
