// One row of the table of wrong requests: what is done to a server, and what it must answer.
#ifndef CHUNKKV_TESTS_INTEGRATION_BAD_INPUT_H_
#define CHUNKKV_TESTS_INTEGRATION_BAD_INPUT_H_

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>

#include "tests/support/raw_stream.h"
#include "tests/support/test_server.h"

namespace chunkkv {

struct BadInput {
  const char* name;
  grpc::StatusCode code;
  const char* reason;  // empty: gRPC itself answers, without one
  std::function<RpcEnd(TestServer&)> run;
};

inline std::ostream& operator<<(std::ostream& out, const BadInput& bad) { return out << bad.name; }

// Runs the row against a fresh server; then the server must be at rest, hold what it held, and serve a good put and
// get.
void ExpectRefused(const BadInput& bad, const ServerOptions& options = SmallServer());

using Stub = v1::KvCacheService::Stub;

// How one unary call ends.
template <typename Request, typename Response>
RpcEnd Call(TestServer& server, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
            const Request& request) {
  grpc::ClientContext context;
  Response response;
  const grpc::Status status = (server.stub().*method)(&context, request, &response);
  return EndOf(status, context);
}

inline std::string NameOfRow(const testing::TestParamInfo<BadInput>& info) { return info.param.name; }

inline constexpr auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
inline constexpr auto kPrecondition = grpc::StatusCode::FAILED_PRECONDITION;
inline constexpr auto kOutOfRange = grpc::StatusCode::OUT_OF_RANGE;
inline constexpr auto kNotFound = grpc::StatusCode::NOT_FOUND;
inline constexpr auto kExists = grpc::StatusCode::ALREADY_EXISTS;
inline constexpr auto kExhausted = grpc::StatusCode::RESOURCE_EXHAUSTED;
inline constexpr auto kUnimplemented = grpc::StatusCode::UNIMPLEMENTED;
inline constexpr auto kDeadline = grpc::StatusCode::DEADLINE_EXCEEDED;

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_INTEGRATION_BAD_INPUT_H_
