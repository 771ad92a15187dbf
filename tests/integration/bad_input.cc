#include "tests/integration/bad_input.h"

#include <algorithm>

#include "tests/support/get_client.h"
#include "tests/support/put_client.h"

namespace chunkkv {

void ExpectRefused(const BadInput& bad, const ServerOptions& options) {
  TestServer server(options);
  const RpcEnd end = bad.run(server);
  EXPECT_EQ(end.code, bad.code) << end;
  EXPECT_EQ(end.reason, bad.reason) << end;
  if (bad.reason[0] != '\0') {
    EXPECT_LE(end.message.size(), 1024u);
    EXPECT_TRUE(std::all_of(end.message.begin(), end.message.end(), [](char c) { return c >= 0x20 && c <= 0x7e; }));
    EXPECT_FALSE(end.message.empty());
  }
  server.ExpectAtRest();
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().local_holdings() == 0; }));
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_count() == 0; }));

  PutRequest good = SmallRequest();
  good.key.fill(0x99);
  const Prompt prompt = MakePrompt(good, 99);
  const int64_t entries = server.store().Stats().entries;
  const PutResult put = PutAll(server.channel(), good, prompt, 50);
  EXPECT_TRUE(put.committed.has_value()) << put.end;
  ExpectServed(GetAll(server.channel(), GetRequestOf(good)), good, prompt, ReferenceKept(good, prompt).positions);
  EXPECT_EQ(server.store().Stats().entries, entries + 1);
  server.ExpectAtRest();
}

}  // namespace chunkkv
