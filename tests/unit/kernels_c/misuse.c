#include "misuse.h"

#include "check.h"

#define REFUSED_PLAN(change, reason)                                                              \
  do {                                                                                            \
    request r;                                                                                    \
    make_request(&r);                                                                             \
    change;                                                                                       \
    CHECK_FAILS(chunkkv_plan_create(&r.spec, &r.shape, &plan), CHUNKKV_INVALID_ARGUMENT, reason); \
    CHECK(plan == NULL);                                                                          \
  } while (0)

void check_plan_misuse(const request* right) {
  chunkkv_plan* plan = NULL;
  chunkkv_plan* made = NULL;
  chunkkv_plan_info info = {0};
  chunkkv_group group = {0};
  int32_t is_scored = 0;
  int64_t raised = 0;
  struct {
    chunkkv_spec spec;
    int64_t later_field;
  } newer;
  CHECK_FAILS(chunkkv_plan_create(NULL, &right->shape, &plan), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_plan_create(&right->spec, NULL, &plan), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_plan_create(&right->spec, &right->shape, NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.struct_size = 0, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.struct_size = UINT64_MAX, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.set_fields = UINT64_MAX, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.policy = NULL, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.policy = "best", "UNKNOWN_NAME");
  REFUSED_PLAN(r.spec.group_score = "both", "UNKNOWN_NAME");
  REFUSED_PLAN(r.spec.max_tokens = 3, "BUDGET_BELOW_WINDOW");
  REFUSED_PLAN(r.spec.set_fields = 0, "BUDGET_MISSING");
  REFUSED_PLAN(r.spec.chunk_start_count = 2, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.group_count = 2, "BAD_STRUCT");
  REFUSED_PLAN(r.spec.group_count = UINT64_MAX, "BAD_STRUCT");
  REFUSED_PLAN(r.shape.layers = NULL, "BAD_STRUCT");
  REFUSED_PLAN(r.shape.layer_count = UINT64_MAX, "BAD_STRUCT");
  REFUSED_PLAN(r.shape.layer_count = 0, "BAD_LAYER_COUNT");
  REFUSED_PLAN(r.shape.token_count = -1, "BAD_TOKEN_COUNT");
  REFUSED_PLAN(r.shape.score_source = "guess", "UNKNOWN_NAME");
  REFUSED_PLAN(r.shape.score_source = NULL, "SCORES_MISSING");
  REFUSED_PLAN(r.layers[1].dtype = 99, "BAD_DTYPE");
  REFUSED_PLAN(r.layers[1].struct_size = 8, "BAD_STRUCT");
  REFUSED_PLAN(r.layers[1].sink_logit_count = 4, "BAD_STRUCT");
  REFUSED_PLAN(r.layers[1].sink_logit_count = -4, "BAD_STRUCT");

  /* A later header's struct: its tail must be zero. */
  memset(&newer, 0, sizeof(newer));
  newer.spec = right->spec;
  newer.spec.struct_size = sizeof(newer);
  CHECK(chunkkv_plan_create(&newer.spec, &right->shape, &made) == CHUNKKV_OK);
  newer.later_field = 1;
  CHECK_FAILS(chunkkv_plan_create(&newer.spec, &right->shape, &plan), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");

  CHECK_FAILS(chunkkv_plan_get_info(made, &info), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_plan_get_info(made, NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_plan_get_info(NULL, &info), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  group.struct_size = sizeof(group);
  CHECK_FAILS(chunkkv_plan_get_group(made, LAYERS, &group), CHUNKKV_INVALID_ARGUMENT, "BAD_GROUP");
  CHECK_FAILS(chunkkv_plan_get_group(made, -1, &group), CHUNKKV_INVALID_ARGUMENT, "BAD_GROUP");
  CHECK_FAILS(chunkkv_plan_is_scored(made, LAYERS, &is_scored), CHUNKKV_INVALID_ARGUMENT, "BAD_LAYER");
  CHECK_FAILS(chunkkv_plan_is_scored(made, 0, NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_plan_raised_budget(made, -1, &raised), CHUNKKV_INVALID_ARGUMENT, "BAD_BUDGET");
  CHECK_FAILS(chunkkv_plan_raised_budget(made, INT64_MAX, &raised), CHUNKKV_INVALID_ARGUMENT, "BAD_BUDGET");
  chunkkv_plan_destroy(made);
}

void check_device_misuse(void) {
  chunkkv_device* device = NULL;
  chunkkv_context* context = NULL;
  CHECK_FAILS(chunkkv_device_open("tpu", &device), CHUNKKV_INVALID_ARGUMENT, "BAD_DEVICE");
  CHECK_FAILS(chunkkv_device_open("cuda:", &device), CHUNKKV_INVALID_ARGUMENT, "BAD_DEVICE");
  CHECK_FAILS(chunkkv_device_open("cuda:-1", &device), CHUNKKV_INVALID_ARGUMENT, "BAD_DEVICE");
  CHECK_FAILS(chunkkv_device_open("cuda:0x", &device), CHUNKKV_INVALID_ARGUMENT, "BAD_DEVICE");
  CHECK_FAILS(chunkkv_device_open(NULL, &device), CHUNKKV_INVALID_ARGUMENT, "BAD_DEVICE");
  CHECK_FAILS(chunkkv_device_open("cpu", NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_context_create(NULL, NULL, &context), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
#if HAS_CUDA
  CHECK_FAILS(chunkkv_device_open("cuda:4096", &device), CHUNKKV_UNAVAILABLE, "NO_CUDA_DEVICE");
#else
  CHECK_FAILS(chunkkv_device_open("cuda:0", &device), CHUNKKV_UNIMPLEMENTED, "NO_CUDA");
#endif
  CHECK(device == NULL && context == NULL);
}

#define REFUSED(change, code, reason)                                                                    \
  do {                                                                                                   \
    make_request(&r);                                                                                    \
    change;                                                                                              \
    chunkkv_workspace_bytes(context, plan, &r.batch, &bytes); /* may do without what it does not read */ \
    CHECK_FAILS(chunkkv_enqueue(context, plan, &r.batch, workspace, sizeof(workspace)), code, reason);   \
    CHECK(chunkkv_wait(context) == CHUNKKV_OK);                                                          \
  } while (0)

#define REFUSED_TASK(change) REFUSED(change, CHUNKKV_INVALID_ARGUMENT, "BAD_TASK")
#define REFUSED_STRUCT(change) REFUSED(change, CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT")

void check_misuse(const chunkkv_device* device, chunkkv_context* context, const chunkkv_plan* plan,
                  const request* right) {
  static request r;
  static union {
    unsigned char bytes[1 << 16];
    double aligned;
  } memory;
  unsigned char(*const start)[1 << 15] = (unsigned char(*)[1 << 15])(((uintptr_t)memory.bytes + 63) / 64 * 64);
#define workspace (*start)
  static const int32_t block_ids[3] = {0, 1, 2};
  static const double inv_freq[4] = {1, 1, 1, 1};
  chunkkv_rope rope = {0};
  chunkkv_rotate_task rotate = {0};
  chunkkv_scatter_task scatter = {0};
  chunkkv_digest_task digest = {0};
  uint64_t digests[2];
  chunkkv_context_options options = {0};
  chunkkv_context* none = NULL;
  uint64_t bytes = 0;

  CHECK_FAILS(chunkkv_enqueue(NULL, plan, &right->batch, NULL, 0), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_enqueue(context, NULL, &right->batch, NULL, 0), CHUNKKV_INVALID_ARGUMENT, "BAD_TASK");
  CHECK_FAILS(chunkkv_enqueue(context, plan, NULL, NULL, 0), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_enqueue(context, plan, &right->batch, NULL, 64), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_enqueue(context, plan, &right->batch, NULL, 0), CHUNKKV_INVALID_ARGUMENT, "WORKSPACE_TOO_SMALL");
  CHECK_FAILS(chunkkv_enqueue(context, plan, &right->batch, workspace + 1, sizeof(workspace) - 1),
              CHUNKKV_INVALID_ARGUMENT, "BAD_TASK");
  CHECK_FAILS(chunkkv_workspace_bytes(context, plan, &right->batch, NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_workspace_bytes(NULL, plan, &right->batch, &bytes), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_wait(NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_context_create(device, &options, &none), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  options.struct_size = sizeof(options);
  options.max_sm_count = -1;
  CHECK_FAILS(chunkkv_context_create(device, &options, &none), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");
  CHECK_FAILS(chunkkv_context_create(device, NULL, NULL), CHUNKKV_INVALID_ARGUMENT, "BAD_STRUCT");

  REFUSED_STRUCT(r.batch.struct_size = 0);
  REFUSED_STRUCT(r.batch.score = NULL);
  REFUSED_STRUCT(r.batch.gather_count = UINT64_MAX);
  REFUSED_STRUCT(r.score[0].struct_size = 1);
  REFUSED_STRUCT(r.score[1].struct_size += 8);
  REFUSED_STRUCT(r.score[0].keys = NULL);
  REFUSED_STRUCT(r.score[0].queries = NULL);
  REFUSED_STRUCT(r.gather[1].source = NULL);
  REFUSED_STRUCT(r.rows[0].struct_size = 0);

  REFUSED_TASK(r.score[1].layer = LAYERS);
  REFUSED_TASK(r.score[1].layer = -1);
  REFUSED_TASK(r.score[1].token_scores = NULL);
  REFUSED_TASK(r.score[1].token_score_count = PAST - 1);
  REFUSED_TASK(r.query_views[0].element_count -= 1);
  REFUSED_TASK(r.query_views[0].data = NULL);
  REFUSED_TASK(r.score[0].lse = r.scores[0]);
  REFUSED_TASK(r.rows[0].data = NULL);
  REFUSED_TASK(r.rows[0].token_count = -1);
  REFUSED_TASK(r.rows[0].token_count = TOKENS - 1);
  REFUSED_TASK(r.rows[0].head_count = INT32_MAX);
  REFUSED_TASK(r.select[1].group = LAYERS);
  REFUSED_TASK(r.select[1].budget = TOKENS + 1);
  REFUSED_TASK(r.select[1].budget = INT64_MIN);
  REFUSED_TASK(r.select[1].budget = 0);
  REFUSED_TASK(r.select[1].budget = WINDOW - 1);
  REFUSED_TASK(r.select[1].positions = NULL);
  REFUSED_TASK(r.select[1].token_scores = NULL);
  REFUSED_TASK(r.select[1].token_score_count = 0);
  REFUSED_TASK(r.select[1].token_score_count = UINT64_MAX);
  REFUSED_TASK(r.score_lists[1] = NULL);
  REFUSED_TASK(r.gather[0].positions = NULL);
  REFUSED_TASK(r.gather[0].position_count = UINT64_MAX);
  REFUSED_TASK(r.gather[0].destination = NULL);
  REFUSED_TASK(r.gather[0].destination_bytes -= 1);
  REFUSED_TASK(r.rows[0].block_ids = block_ids);
  REFUSED_TASK(r.rows[0].block_token_count = 16);
  REFUSED_TASK((r.rows[0].block_token_count = 16, r.rows[0].block_ids = block_ids, r.rows[0].block_id_count = 2));
  REFUSED_TASK(r.rows[0].block_token_count = -16);

  REFUSED(r.rows[0].dtype = 0, CHUNKKV_INVALID_ARGUMENT, "BAD_DTYPE");
  REFUSED(r.rows[0].dtype = 99, CHUNKKV_INVALID_ARGUMENT, "BAD_DTYPE");
  REFUSED(r.query_views[0].dtype = -1, CHUNKKV_INVALID_ARGUMENT, "BAD_DTYPE");
  REFUSED(r.query_views[0].dtype = CHUNKKV_F8_E4M3, CHUNKKV_UNIMPLEMENTED, "SCORING_FP8");
  REFUSED(r.rows[0].memory_kind = 7, CHUNKKV_INVALID_ARGUMENT, "BAD_MEMORY_KIND");
  REFUSED(r.rows[0].memory_kind = CHUNKKV_DEVICE, CHUNKKV_UNIMPLEMENTED, "DEVICE_MEMORY");

  rope.struct_size = sizeof(rope);
  rope.rotary_dims = SIZE;
  rope.inv_freq = inv_freq;
  rotate.struct_size = sizeof(rotate);
  rotate.source = &r.rows[0];
  rotate.positions = r.positions[0];
  rotate.position_count = BUDGET;
  rotate.rope = &rope;
  rotate.destination = r.kept[0];
  rotate.destination_bytes = sizeof(r.kept[0]);
#define WITH_ROTATE (r.batch.rotate = &rotate, r.batch.rotate_count = 1)
  REFUSED_TASK(WITH_ROTATE); /* as many rows as the prompt has, for a budget of positions */
  rotate.rope = NULL;
  REFUSED_STRUCT(WITH_ROTATE);
  rotate.rope = &rope;
  rope.rotary_dims = 7;
  REFUSED(WITH_ROTATE, CHUNKKV_INVALID_ARGUMENT, "BAD_ROPE");
  rope.rotary_dims = INT32_MAX - 1;
  REFUSED(WITH_ROTATE, CHUNKKV_INVALID_ARGUMENT, "BAD_ROPE");
  rope.rotary_dims = SIZE;
  rope.inv_freq = NULL;
  REFUSED(WITH_ROTATE, CHUNKKV_INVALID_ARGUMENT, "BAD_ROPE");

  scatter.struct_size = sizeof(scatter);
  scatter.source = r.kept[0];
  scatter.source_bytes = sizeof(r.kept[0]);
  scatter.positions = r.positions[0];
  scatter.position_count = BUDGET;
  scatter.destination = &r.rows[0];
#define WITH_SCATTER (r.batch.scatter = &scatter, r.batch.scatter_count = 1)
  scatter.source_bytes -= 1;
  REFUSED_TASK(WITH_SCATTER);
  scatter.source_bytes += 1;
  scatter.source = NULL;
  REFUSED_TASK(WITH_SCATTER);
  scatter.source = r.kept[0];
  scatter.destination = NULL;
  REFUSED_STRUCT(WITH_SCATTER);

  digest.struct_size = sizeof(digest);
  digest.data = r.keys[0];
  digest.size_bytes = CHUNKKV_DIGEST_BLOCK_BYTES + 1;
  digest.block_digests = digests;
  digest.block_digest_count = 2;
#define WITH_DIGEST (r.batch.digest = &digest, r.batch.digest_count = 1)
  digest.block_digest_count = 1;
  REFUSED_TASK(WITH_DIGEST);
  digest.size_bytes = UINT64_MAX;
  digest.block_digest_count = UINT64_MAX;
  REFUSED_TASK(WITH_DIGEST);
  digest.size_bytes = sizeof(r.keys[0]);
  digest.block_digests = NULL;
  REFUSED_TASK(WITH_DIGEST);
  digest.block_digests = digests;
  digest.data = NULL;
  REFUSED_TASK(WITH_DIGEST);
  digest.data = r.keys[0];
  digest.memory_kind = 7;
  REFUSED(WITH_DIGEST, CHUNKKV_INVALID_ARGUMENT, "BAD_MEMORY_KIND");
  digest.memory_kind = CHUNKKV_DEVICE;
  REFUSED(WITH_DIGEST, CHUNKKV_UNIMPLEMENTED, "DEVICE_MEMORY");
  digest.memory_kind = CHUNKKV_HOST;
  REFUSED_STRUCT((WITH_DIGEST, r.batch.digest_count = UINT64_MAX));
  digest.struct_size = 8;
  REFUSED_STRUCT(WITH_DIGEST);

  /* Contents are Wait's to refuse: nothing outside the rows is read. */
  make_request(&r);
  r.batch.score_count = r.batch.select_count = 0;
  r.positions[0][3] = TOKENS;
  CHECK(chunkkv_enqueue(context, plan, &r.batch, workspace, sizeof(workspace)) == CHUNKKV_OK);
  CHECK_FAILS(chunkkv_wait(context), CHUNKKV_INVALID_ARGUMENT, "BAD_POSITIONS");
#undef workspace
}
