// /statusz: the server's state as a page for people.
#ifndef CHUNKKV_SERVICE_STATUS_PAGE_H_
#define CHUNKKV_SERVICE_STATUS_PAGE_H_

#include <string>

#include "service/server_state.h"

namespace chunkkv {

// HTML without scripts and without anything to load. Shows no tokens, keys or tensors; tenants by their digest.
std::string StatusPage(const ServerState& state);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STATUS_PAGE_H_
