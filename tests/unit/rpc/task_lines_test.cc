// Streams' work waits in its tenant's line: however much there is of it, it keeps nobody else waiting.
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "chunkkv/v1/get.pb.h"
#include "service/rpc/event_stream.h"
#include "service/rpc/get_reactor.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "tests/support/test_entry.h"
#include "tests/unit/rpc/rpc_context_fixture.h"

namespace chunkkv::rpc {
namespace {

constexpr int kStreamCount = 5;

class TaskLinesTest : public RpcContextTest {
 protected:
  // Everything that was posted, of the tenant or of the server, has run.
  void RunOut() {
    for (const TaskQueue::LineId line : {TaskQueue::LineOf("default"), TaskQueue::LineId{0}}) {
      const auto over = std::make_shared<std::promise<void>>();
      executor_.Post([over] { over->set_value(); }, line);
      over->get_future().wait();
    }
  }

  // What `count` says when the server's own task has its turn, which was posted after the tasks that `post` posts.
  int CountInTurn(const std::function<void()>& post, const std::function<int()>& count) {
    std::promise<void> all_posted;
    executor_.PostNext([&] { all_posted.get_future().wait(); });
    post();
    int counted = 0;
    executor_.Post([&] { counted = count(); });
    all_posted.set_value();
    RunOut();
    return counted;
  }
};

TEST_F(TaskLinesTest, OfReadersWhoseWaitIsOver) {
  EntryRecipe recipe;
  recipe.tenant = "default";
  const EntryIdentity identity = MakeEntry(recipe).identity;
  v1::GetCacheRequest get;
  get.set_fingerprint(ToString(identity.fingerprint));
  ToWire(identity.shard, get.mutable_shard());
  get.mutable_prompt()->set_key(ToString(identity.key));
  get.set_wait_ms(1000);
  const grpc::ByteBuffer request = ToByteBuffer(get);

  const EntryStore::PutToken put = store_.BeginPut(identity);
  grpc::CallbackServerContext calls[kStreamCount];
  std::vector<GetReactor*> readers;
  for (grpc::CallbackServerContext& call : calls) readers.push_back(GetReactor::Start(context_, &call, &request));
  RunOut();
  ASSERT_EQ(store_.Stats().waiters, kStreamCount);

  const auto ended = [&] {
    int count = 0;
    const std::string text = metrics_.Text();
    for (int i = 1; i <= kStreamCount; ++i) {
      if (text.find("chunkkv_rpcs_total{code=\"ABORTED\",rpc=\"GetCache\"} " + std::to_string(i) + "\n") != text.npos) {
        count = i;
      }
    }
    return count;
  };
  EXPECT_EQ(CountInTurn([&] { store_.EndPut(put); }, ended), 1);
  EXPECT_EQ(ended(), kStreamCount);
  for (GetReactor* const reader : readers) reader->OnDone();
}

// Counts what it is woken for.
class CountingStream final : public EventStream {
 public:
  CountingStream(RpcContext& context, grpc::CallbackServerContext* call) : EventStream(context, call, "Count") {}

  int turns() const { return turns_; }
  std::function<void()> wake;

 private:
  absl::Status Begin(const grpc::ByteBuffer&) override {
    wake = Wake();
    return absl::OkStatus();
  }
  void SendSome() override { ++turns_; }

  int turns_ = 0;
};

TEST_F(TaskLinesTest, OfWatchersThatAreWokenOrHaveWritten) {
  grpc::CallbackServerContext call;
  const auto stream = std::make_shared<CountingStream>(context_, &call);
  const grpc::ByteBuffer request;
  EventStream::Start(stream, &request);
  RunOut();
  ASSERT_EQ(stream->turns(), 1);
  const auto turns = [&] { return stream->turns(); };
  const auto five_times = [](const std::function<void()>& post) {
    return [post] {
      for (int i = 0; i < 5; ++i) post();
    };
  };
  EXPECT_EQ(CountInTurn(five_times(stream->wake), turns), 2);
  EXPECT_EQ(stream->turns(), 6);
  EXPECT_EQ(CountInTurn(five_times([&] { stream->OnWriteDone(true); }), turns), 7);
  EXPECT_EQ(stream->turns(), 11);
  stream->OnDone();
}

}  // namespace
}  // namespace chunkkv::rpc
