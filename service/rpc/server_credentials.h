// What a listener asks of its peers before they say anything.
#ifndef CHUNKKV_SERVICE_RPC_SERVER_CREDENTIALS_H_
#define CHUNKKV_SERVICE_RPC_SERVER_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "service/security/certificate_file.h"

namespace chunkkv::rpc {

// TLS by `files`, which are read again every second: new connections get what they hold then. Plain where there are
// none.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_SERVER_CREDENTIALS_H_
