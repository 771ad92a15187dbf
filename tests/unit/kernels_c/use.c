/* The whole interface, from a program in C99. */
#include <math.h>

#include "check.h"
#include "misuse.h"
#include "request.h"

/* Memory for `bytes`, aligned to 64. */
typedef struct scratch {
  void* block;
  void* start;
} scratch;

static scratch make_scratch(uint64_t bytes) {
  scratch made;
  made.block = malloc((size_t)bytes + 64);
  CHECK(made.block != NULL);
  made.start = (void*)(((uintptr_t)made.block + 63) / 64 * 64);
  return made;
}

static void run(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* batch) {
  uint64_t bytes = 0;
  scratch workspace;
  CHECK(chunkkv_workspace_bytes(context, plan, batch, &bytes) == CHUNKKV_OK);
  workspace = make_scratch(bytes);
  CHECK(chunkkv_enqueue(context, plan, batch, workspace.start, bytes) == CHUNKKV_OK);
  CHECK(chunkkv_wait(context) == CHUNKKV_OK);
  free(workspace.block);
}

static void check_plan(const chunkkv_plan* plan) {
  chunkkv_plan_info info = {0};
  chunkkv_group group = {0};
  int32_t is_scored = 0;
  int64_t raised = 0;
  info.struct_size = sizeof(info);
  group.struct_size = sizeof(group);
  CHECK(chunkkv_plan_get_info(plan, &info) == CHUNKKV_OK);
  CHECK(info.struct_size == sizeof(info) && info.token_count == TOKENS && info.budget == BUDGET);
  CHECK(info.past_length == PAST && info.window_length == WINDOW && info.sink_tokens == 0);
  CHECK(info.layer_count == LAYERS && info.group_count == LAYERS && info.needs_scores == 1 && info.budget_change == 0);
  CHECK(chunkkv_plan_get_group(plan, 1, &group) == CHUNKKV_OK);
  CHECK(group.first_layer == 1 && group.layer_count == 1 && group.leader == 1);
  CHECK(chunkkv_plan_is_scored(plan, 1, &is_scored) == CHUNKKV_OK && is_scored == 1);
  CHECK(chunkkv_plan_raised_budget(plan, BUDGET, &raised) == CHUNKKV_OK && raised == 2 * BUDGET);
}

/* Both hot chunks are kept, each in its layer, with the window. */
static void check_kept(const request* r) {
  int layer, i;
  for (layer = 0; layer < LAYERS; ++layer) {
    const int hot = layer == 0 ? 6 : 24;
    int found = 0;
    for (i = 0; i < BUDGET; ++i) {
      const int32_t position = r->positions[layer][i];
      CHECK(position >= 0 && position < TOKENS && (i == 0 || position > r->positions[layer][i - 1]));
      found += position >= hot && position < hot + 6;
      CHECK(memcmp(&r->kept[layer][i * HEADS * SIZE], &r->keys[layer][position * HEADS * SIZE],
                   HEADS * SIZE * sizeof(float)) == 0);
    }
    CHECK(found == 6);
    for (i = 0; i < WINDOW; ++i) CHECK(r->positions[layer][BUDGET - 1 - i] == TOKENS - 1 - i);
    CHECK(r->mass[layer] > 0.5 && r->mass[layer] <= 1.0);
  }
}

static uint64_t parallel_calls = 0;

static void run_backwards(void* user, uint64_t count, void (*body)(void* argument, uint64_t i), void* argument) {
  CHECK(user == &parallel_calls);
  ++parallel_calls;
  while (count-- > 0) body(argument, count);
}

static int32_t always(void* user) {
  (void)user;
  return 1;
}

static void check_parallel(const chunkkv_device* device, const chunkkv_plan* plan, request* r) {
  chunkkv_context_options options = {0};
  chunkkv_context* context = NULL;
  options.struct_size = sizeof(options);
  options.run_parallel = run_backwards;
  options.user = &parallel_calls;
  CHECK(chunkkv_context_create(device, &options, &context) == CHUNKKV_OK);
  memset(r->positions, 0, sizeof(r->positions));
  run(context, plan, &r->batch);
  check_kept(r);
  chunkkv_context_destroy(context);
}

static void check_cancelled(const chunkkv_device* device, const chunkkv_plan* plan, request* r) {
  chunkkv_context_options options = {0};
  chunkkv_context* context = NULL;
  uint64_t bytes = 0;
  scratch workspace;
  options.struct_size = sizeof(options);
  options.is_cancelled = always;
  CHECK(chunkkv_context_create(device, &options, &context) == CHUNKKV_OK);
  CHECK(chunkkv_workspace_bytes(context, plan, &r->batch, &bytes) == CHUNKKV_OK);
  workspace = make_scratch(bytes);
  CHECK(chunkkv_enqueue(context, plan, &r->batch, workspace.start, bytes) == CHUNKKV_OK);
  CHECK(chunkkv_wait(context) == CHUNKKV_CANCELLED);
  CHECK(chunkkv_wait(context) == CHUNKKV_OK);
  free(workspace.block);
  chunkkv_context_destroy(context);
}

/* Two batches on one context, then a non-finite query: Wait tells of it once. */
static void check_failure(chunkkv_context* context, const chunkkv_plan* plan, request* r) {
  uint64_t bytes = 0;
  scratch workspace;
  const float saved = r->queries[1][3];
  CHECK(chunkkv_workspace_bytes(context, plan, &r->batch, &bytes) == CHUNKKV_OK);
  workspace = make_scratch(bytes);
  CHECK(chunkkv_enqueue(context, plan, &r->batch, workspace.start, bytes) == CHUNKKV_OK);
  r->queries[1][3] = (float)HUGE_VAL;
  CHECK(chunkkv_enqueue(context, plan, &r->batch, workspace.start, bytes) == CHUNKKV_OK);
  CHECK_FAILS(chunkkv_wait(context), CHUNKKV_INVALID_ARGUMENT, "NON_FINITE_INPUT");
  CHECK(strlen(chunkkv_last_message()) > 0);
  r->queries[1][3] = saved;
  CHECK(chunkkv_wait(context) == CHUNKKV_OK);
  CHECK(strcmp(chunkkv_last_reason(), "") == 0 && strcmp(chunkkv_last_message(), "") == 0);
  free(workspace.block);
}

/* Kept keys go, re-rotated, into an engine's pages and come back through its block table. */
static void check_pages(chunkkv_context* context, const request* r) {
  enum { BLOCK = 4, BLOCKS = 8 };
  static float cache[BLOCKS * BLOCK * HEADS * SIZE], rotated[BUDGET * HEADS * SIZE], back[BUDGET * HEADS * SIZE];
  const int32_t block_ids[BUDGET / BLOCK] = {5, 0, 7, 2};
  const double inv_freq[SIZE / 2] = {1.0, 0.1, 0.01, 0.001};
  int32_t slots[BUDGET];
  int i;
  chunkkv_rows kept = r->rows[0], pages = r->rows[0];
  chunkkv_rope rope = {0};
  chunkkv_rotate_task rotate = {0};
  chunkkv_scatter_task scatter = {0};
  chunkkv_gather_task gather = {0};
  chunkkv_batch out = {0}, in = {0};

  for (i = 0; i < BUDGET; ++i) slots[i] = i;
  kept.data = (void*)r->kept[0];
  kept.token_count = BUDGET;
  pages.data = cache;
  pages.token_count = BUDGET;
  pages.block_ids = block_ids;
  pages.block_id_count = BUDGET / BLOCK;
  pages.block_token_count = BLOCK;
  pages.block_count = BLOCKS;
  pages.block_stride_bytes = BLOCK * pages.token_stride_bytes;

  rope.struct_size = sizeof(rope);
  rope.inv_freq = inv_freq;
  rope.rotary_dims = SIZE;
  rotate.struct_size = sizeof(rotate);
  rotate.source = &kept;
  rotate.positions = r->positions[0];
  rotate.position_count = BUDGET;
  rotate.rope = &rope;
  rotate.destination = rotated;
  rotate.destination_bytes = sizeof(rotated);
  scatter.struct_size = sizeof(scatter);
  scatter.source = rotated;
  scatter.source_bytes = sizeof(rotated);
  scatter.positions = slots;
  scatter.position_count = BUDGET;
  scatter.destination = &pages;
  out.struct_size = sizeof(out);
  out.rotate = &rotate;
  out.rotate_count = 1;
  out.scatter = &scatter;
  out.scatter_count = 1;
  run(context, NULL, &out); /* which only copies */

  gather.struct_size = sizeof(gather);
  gather.source = &pages;
  gather.positions = slots;
  gather.position_count = BUDGET;
  gather.destination = back;
  gather.destination_bytes = sizeof(back);
  in.struct_size = sizeof(in);
  in.gather = &gather;
  in.gather_count = 1;
  run(context, NULL, &in);
  CHECK(memcmp(rotated, back, sizeof(back)) == 0);
  CHECK(memcmp(&cache[5 * BLOCK * HEADS * SIZE], rotated, BLOCK * HEADS * SIZE * sizeof(float)) == 0);
  for (i = 0; i < SIZE / 2; ++i) { /* row 1 turned from its position to 1, pair by pair */
    const float* from = &r->kept[0][HEADS * SIZE];
    const double angle = (1 - r->positions[0][1]) * inv_freq[i];
    const double wanted = from[i] * cos(angle) - from[i + SIZE / 2] * sin(angle);
    CHECK(fabs(rotated[HEADS * SIZE + i] - wanted) < 1e-5);
  }
}

/* By XXH3_64bits of libxxhash 0.8.1 over the bytes 0, 1, ... 250, 0, 1, ...; one batch gathers rows and digests them.
 */
static void check_digests(chunkkv_context* context, const request* r) {
  enum { BYTES = 2 * CHUNKKV_DIGEST_BLOCK_BYTES + 100 };
  static unsigned char tensor[BYTES + 1];
  static float kept[BUDGET * HEADS * SIZE];
  const uint64_t wanted[3] = {UINT64_C(0x168f7fb4781d0831), UINT64_C(0x8ce87971c26684b6), UINT64_C(0xbcadcd071b48418d)};
  uint64_t digests[4] = {0, 0, 0, 7}, of_kept = 1, of_source = 2;
  chunkkv_gather_task gather = r->gather[0];
  chunkkv_digest_task tasks[3] = {{0}, {0}, {0}};
  chunkkv_batch batch = {0};
  int i;

  for (i = 0; i < BYTES; ++i) tensor[i + 1] = (unsigned char)(i % 251); /* of no alignment */
  for (i = 0; i < 3; ++i) {
    tasks[i].struct_size = sizeof(tasks[i]);
    tasks[i].memory_kind = CHUNKKV_HOST;
    tasks[i].block_digest_count = 1;
  }
  tasks[0].data = tensor + 1;
  tasks[0].size_bytes = BYTES;
  tasks[0].block_digests = digests;
  tasks[0].block_digest_count = 3;
  gather.destination = kept;
  tasks[1].data = kept; /* as soon as it is gathered */
  tasks[1].size_bytes = sizeof(kept);
  tasks[1].block_digests = &of_kept;
  tasks[2].data = r->kept[0]; /* gathered before, from the same positions */
  tasks[2].size_bytes = sizeof(kept);
  tasks[2].block_digests = &of_source;
  batch.struct_size = sizeof(batch);
  batch.gather = &gather;
  batch.gather_count = 1;
  batch.digest = tasks;
  batch.digest_count = 3;
  run(context, NULL, &batch);
  CHECK(memcmp(digests, wanted, sizeof(wanted)) == 0 && digests[3] == 7);
  CHECK(of_kept == of_source && of_kept != 1);
}

static void use(const char* name, request* r, const chunkkv_plan* plan) {
  chunkkv_device* device = NULL;
  chunkkv_context* context = NULL;
  CHECK(chunkkv_device_open(name, &device) == CHUNKKV_OK);
  CHECK(chunkkv_context_create(device, NULL, &context) == CHUNKKV_OK);
  make_request(r);
  run(context, plan, &r->batch);
  check_kept(r);
  check_pages(context, r);
  check_digests(context, r);
  check_failure(context, plan, r);
  check_parallel(device, plan, r);
  check_cancelled(device, plan, r);
  check_misuse(device, context, plan, r);
  chunkkv_device_close(device);
  run(context, plan, &r->batch); /* a context keeps its device */
  chunkkv_context_destroy(context);
}

int main(void) {
  static request r;
  chunkkv_plan* plan = NULL;
  CHECK(chunkkv_abi_version() == CHUNKKV_KERNELS_ABI_VERSION);
  make_request(&r);
  CHECK(chunkkv_plan_create(&r.spec, &r.shape, &plan) == CHUNKKV_OK);
  check_plan(plan);
  use("reference", &r, plan);
  use("cpu", &r, plan);
  CHECK(parallel_calls > 0);
  check_plan_misuse(&r);
  check_device_misuse();
  chunkkv_plan_destroy(plan);
  chunkkv_plan_destroy(NULL);
  chunkkv_context_destroy(NULL);
  chunkkv_device_close(NULL);
  puts("the whole interface works from C99");
  return 0;
}
