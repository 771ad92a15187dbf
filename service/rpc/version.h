// The server's version, from the build.
#ifndef CHUNKKV_SERVICE_RPC_VERSION_H_
#define CHUNKKV_SERVICE_RPC_VERSION_H_

namespace chunkkv::rpc {

extern const char* const kServerVersion;

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_VERSION_H_
