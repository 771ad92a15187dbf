// Memory that an entry is received into: page-aligned, not zeroed, with huge pages where the system allows.
#ifndef CHUNKKV_CLIENT_CPP_RECEIVE_BUFFER_H_
#define CHUNKKV_CLIENT_CPP_RECEIVE_BUFFER_H_

#include <cstddef>
#include <memory>

namespace chunkkv::client {

// Null where there is not that much memory.
std::shared_ptr<void> AllocateReceiveBuffer(size_t size_bytes);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_RECEIVE_BUFFER_H_
