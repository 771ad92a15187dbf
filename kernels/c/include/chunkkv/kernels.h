/* Compaction of LLM KV caches where they are: the C interface of libchunkkv_kernels.
 *
 *   chunkkv_plan_create -> chunkkv_workspace_bytes -> chunkkv_enqueue -> chunkkv_wait
 *
 * A plan is a spec made definite for one prompt. A batch lists tasks; chunkkv_enqueue runs all its score tasks, then
 * its select, gather, rotate and scatter tasks, in that order. Nothing blocks but chunkkv_wait (on a host,
 * chunkkv_enqueue does the work). All tensors, lists and the workspace belong to the caller and must live, unmoved,
 * until chunkkv_wait returns; task and view structs only until chunkkv_enqueue returns. The library allocates no tensor
 * memory.
 *
 * Structs begin with struct_size, which the caller sets to sizeof; every other field that is not used is zero. Fields
 * are only ever added at the end. All elements of an array have the same struct_size. Shapes are in brackets, outermost
 * first; L tokens, w the window, P = max(0, L - w), H query heads, Hkv KV heads, D and Dv head sizes, B the budget.
 *
 * Plans and devices are immutable and may be shared by threads; a context serves one thread at a time.
 *
 * Functions that return a chunkkv_code leave, for the calling thread, a reason and a text of the last call. No
 * exception leaves the library. */
#ifndef CHUNKKV_KERNELS_H_
#define CHUNKKV_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CHUNKKV_API __attribute__((visibility("default")))
#else
#define CHUNKKV_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes where a program that was compiled against an earlier header would no longer work. */
#define CHUNKKV_KERNELS_ABI_VERSION 1
/* That of the library. */
CHUNKKV_API uint32_t chunkkv_abi_version(void);

/* The numbers of google.rpc.Code. */
typedef int32_t chunkkv_code;
enum {
  CHUNKKV_OK = 0,
  CHUNKKV_CANCELLED = 1,
  CHUNKKV_UNKNOWN = 2,
  CHUNKKV_INVALID_ARGUMENT = 3,
  CHUNKKV_RESOURCE_EXHAUSTED = 8,
  CHUNKKV_FAILED_PRECONDITION = 9,
  CHUNKKV_UNIMPLEMENTED = 12,
  CHUNKKV_INTERNAL = 13,
  CHUNKKV_UNAVAILABLE = 14
};

/* Of this thread's last call that returned a chunkkv_code: a reason in upper snake case ("BUDGET_BELOW_WINDOW") and a
 * text for people, both empty after CHUNKKV_OK; valid until its next call. */
CHUNKKV_API const char* chunkkv_last_reason(void);
CHUNKKV_API const char* chunkkv_last_message(void);

typedef int32_t chunkkv_dtype;
enum {
  CHUNKKV_F32 = 1,
  CHUNKKV_F16 = 2,
  CHUNKKV_BF16 = 3,
  CHUNKKV_F8_E4M3 = 4, /* fp8 keys are scored where they have scales; other fp8 is copied only */
  CHUNKKV_F8_E5M2 = 5
};

typedef int32_t chunkkv_memory_kind;
enum { CHUNKKV_HOST = 0, CHUNKKV_PINNED = 1, CHUNKKV_DEVICE = 2 };

/* ---- Plans ---- */

/* Consecutive attention layers that share one list of kept positions. */
typedef struct chunkkv_group {
  uint64_t struct_size;
  int32_t first_layer;
  int32_t layer_count;
  int32_t leader; /* layer that chooses; -1: all choose together, or nobody does */
  int32_t reserved;
} chunkkv_group;

/* Which optional fields of a chunkkv_spec are set; the others take their defaults. */
enum {
  CHUNKKV_SPEC_KEEP_RATIO = 1 << 0,
  CHUNKKV_SPEC_MAX_TOKENS = 1 << 1,
  CHUNKKV_SPEC_CHUNK_LENGTH = 1 << 2,
  CHUNKKV_SPEC_WINDOW_LENGTH = 1 << 3,
  CHUNKKV_SPEC_REUSE_GROUP = 1 << 4,
  CHUNKKV_SPEC_SINK_TOKENS = 1 << 5,
  CHUNKKV_SPEC_POOL = 1 << 6,
  CHUNKKV_SPEC_RECENT_RATIO = 1 << 7,
  CHUNKKV_SPEC_BUDGET_MULTIPLE = 1 << 8,
  CHUNKKV_SPEC_MIN_RETAINED_MASS = 1 << 9,
  CHUNKKV_SPEC_MAX_RAISED_TOKENS = 1 << 10
};

/* What is asked of compaction. Names are lower case; null takes the default, in brackets. */
typedef struct chunkkv_spec {
  uint64_t struct_size;
  uint64_t set_fields;       /* CHUNKKV_SPEC_... */
  const char* policy;        /* full, chunk_kv, snap_kv, h2o, streaming_llm, external */
  const char* group_score;   /* leader, sum [leader] */
  const char* chunk_reduce;  /* sum, mean, max [sum; max with chunk_starts] */
  const char* on_low_mass;   /* fail, raise_budget, keep_full [fail] */
  double keep_ratio;         /* share kept, in (0, 1]; this or max_tokens, but for full and external */
  double recent_ratio;       /* h2o [0.5] */
  double min_retained_mass;  /* guardrail, in [0, 1] [none] */
  int64_t max_tokens;        /* tokens kept, window and sinks included */
  int64_t max_raised_tokens; /* [L] */
  int32_t chunk_length;      /* [10] */
  int32_t window_length;     /* [32] */
  int32_t reuse_group;       /* [1] */
  int32_t sink_tokens;       /* [0; streaming_llm 4] */
  int32_t pool;              /* odd [1; snap_kv 5] */
  int32_t budget_multiple;   /* [1] */
  const int32_t*
      chunk_starts; /* given chunks: ascending token positions, the first equal to sink_tokens; null: a grid */
  uint64_t chunk_start_count;
  const chunkkv_group* groups; /* explicit groups; null: runs of reuse_group layers */
  uint64_t group_count;
} chunkkv_spec;

/* One attention layer. */
typedef struct chunkkv_attention_shape {
  uint64_t struct_size;
  int32_t query_head_count; /* H, a multiple of Hkv */
  int32_t kv_head_count;    /* Hkv */
  int32_t key_head_size;    /* D */
  int32_t value_head_size;  /* Dv; 0: no V tensor */
  chunkkv_dtype dtype;
  int32_t sink_logit_count; /* 0 or H */
  int32_t has_key_scales;   /* of fp8 keys: score tasks give them, and keys can be scored */
  int32_t reserved;
  double scale;             /* of the logits; 0: 1 / sqrt(D) */
  double softcap;           /* 0: none */
  const float* sink_logits; /* [H] */
} chunkkv_attention_shape;

typedef struct chunkkv_shape {
  uint64_t struct_size;
  int64_t token_count;                   /* L */
  const chunkkv_attention_shape* layers; /* attention layers only */
  uint64_t layer_count;
  const char* score_source; /* query_window, attention, token_scores; null: none */
  int32_t has_lse;
  int32_t is_sharded; /* tensor or pipeline parallel: only on_low_mass fail */
} chunkkv_shape;

enum { CHUNKKV_RAISED_TO_WINDOW = 1 << 0, CHUNKKV_ROUNDED_TO_MULTIPLE = 1 << 1, CHUNKKV_EVERYTHING_KEPT = 1 << 2 };

typedef struct chunkkv_plan_info {
  uint64_t struct_size; /* of what may be written */
  int64_t token_count;
  int64_t window_length; /* as asked; may exceed L */
  int64_t past_length;   /* P: length of a list of token scores */
  int64_t sink_tokens;
  int64_t budget; /* B; 0 for external, whose lists decide */
  int32_t layer_count;
  int32_t group_count;
  int32_t needs_scores;       /* 1: the policy chooses by token scores, and a source gives them */
  int32_t budget_change;      /* what made B differ from the request: CHUNKKV_RAISED_TO_WINDOW, ... */
  int32_t allows_chunk_means; /* 1: score tasks may */
  int32_t reserved;
} chunkkv_plan_info;

typedef struct chunkkv_plan chunkkv_plan;

/* Errors: INVALID_ARGUMENT with a reason that names the field; UNIMPLEMENTED SCORING_FP8. */
CHUNKKV_API chunkkv_code chunkkv_plan_create(const chunkkv_spec* spec, const chunkkv_shape* shape, chunkkv_plan** plan);
CHUNKKV_API void chunkkv_plan_destroy(chunkkv_plan* plan);

CHUNKKV_API chunkkv_code chunkkv_plan_get_info(const chunkkv_plan* plan, chunkkv_plan_info* info);
/* A group has a list of B kept positions. Errors: INVALID_ARGUMENT BAD_GROUP. */
CHUNKKV_API chunkkv_code chunkkv_plan_get_group(const chunkkv_plan* plan, int32_t index, chunkkv_group* group);
/* 1 where the layer takes part in a choice, else 0. Where everything is kept it need not be scored. Errors:
 * INVALID_ARGUMENT BAD_LAYER. */
CHUNKKV_API chunkkv_code chunkkv_plan_is_scored(const chunkkv_plan* plan, int32_t layer, int32_t* is_scored);
/* What raise_budget tries after `budget`; the same where nothing is left to raise. */
CHUNKKV_API chunkkv_code chunkkv_plan_raised_budget(const chunkkv_plan* plan, int64_t budget, int64_t* raised);

/* ---- Views ---- */

/* Rows of one layer, [token_count, head_count, head_size]; the innermost dimension is dense, strides are in bytes.
 * Paged rows (block_token_count not 0): token t is row t % block_token_count of block block_ids[t / block_token_count],
 * `data` is the address of block 0, and the other strides hold inside a block. */
typedef struct chunkkv_rows {
  uint64_t struct_size;
  void* data; /* written by scatter alone */
  int64_t token_count;
  int64_t token_stride_bytes;
  int64_t head_stride_bytes;
  int64_t block_stride_bytes;
  const int32_t* block_ids; /* in the memory where the rows are, each in [0, block_count) */
  int32_t block_id_count;   /* at least ceil(token_count / block_token_count) */
  int32_t block_token_count;
  int32_t block_count;
  int32_t head_count;
  int32_t head_size;
  chunkkv_dtype dtype;
  chunkkv_memory_kind memory_kind;
  int32_t device; /* CUDA ordinal, where memory_kind is CHUNKKV_DEVICE */
} chunkkv_rows;

/* A dense tensor whose shape its task states. */
typedef struct chunkkv_dense {
  uint64_t struct_size;
  const void* data;
  int64_t element_count;
  chunkkv_dtype dtype;
  chunkkv_memory_kind memory_kind;
  int32_t device;
  int32_t reserved;
} chunkkv_dense;

/* ---- Tasks. On CUDA every tensor and every list of positions is memory that the device reads and writes. ---- */

/* Token scores of one scored layer. Which inputs are read depends on the plan's score source; w' = min(w, L). */
typedef struct chunkkv_score_task {
  uint64_t struct_size;
  const chunkkv_rows* keys;             /* query_window: [L, Hkv, D], RoPE applied */
  const chunkkv_dense* queries;         /* query_window: [w', H, D] of the last w' tokens, RoPE applied */
  const float* lse;                     /* query_window with LSE: [w', H], natural log */
  const chunkkv_dense* attention;       /* attention: probabilities [H, w', L] */
  const chunkkv_dense* token_scores_in; /* token_scores: [P] */
  const chunkkv_rows* key_scales;       /* of fp8 keys: f32 [L, Hkv, 1], a key is scale * element; strides may be 0 */
  float* token_scores;                  /* out: [P] */
  int64_t token_score_count;            /* P */
  int32_t layer;
  /* 1, where the plan allows it (sums over whole chunks decide: SUM or MEAN, no pooling): token_scores may hold means
   * over parts of chunks. The same chunks are chosen, and retained_mass counts the share of a chunk that the budget
   * cuts. Without LSE a GPU may then read the keys once instead of twice. */
  int32_t allows_chunk_means;
} chunkkv_score_task;

/* Kept positions of one group. */
typedef struct chunkkv_select_task {
  uint64_t struct_size;
  const float* const* token_scores; /* [P] of each layer that chooses: the leader's, or all of the group's under sum */
  uint64_t token_score_count;       /* how many lists; 0 for policies without scores */
  int32_t* positions;               /* out: [budget], ascending */
  int64_t budget;                   /* the plan's, or a raised one */
  double* retained_mass;            /* out: one for each list of token scores; may be null */
  int32_t group;
  int32_t reserved;
} chunkkv_select_task;

/* Copies kept rows, bit for bit. */
typedef struct chunkkv_gather_task {
  uint64_t struct_size;
  const chunkkv_rows* source;
  const int32_t* positions; /* may be written by a select task of the same batch */
  uint64_t position_count;
  void* destination; /* dense [position_count, head_count, head_size] of the source's dtype */
  uint64_t destination_bytes;
} chunkkv_gather_task;

/* Rotary embedding: the angle of pair i at position p is p * inv_freq[i]. */
typedef struct chunkkv_rope {
  uint64_t struct_size;
  const double* inv_freq; /* [rotary_dims / 2], on the host */
  int32_t first_dim;
  int32_t rotary_dims; /* even */
  int32_t interleaved; /* 1: pairs (2i, 2i + 1); 0: (i, i + rotary_dims / 2) */
  int32_t reserved;
} chunkkv_rope;

/* Re-rotates kept keys from their positions to 0 .. position_count - 1. */
typedef struct chunkkv_rotate_task {
  uint64_t struct_size;
  const chunkkv_rows* source; /* dense [position_count, head_count, head_size] */
  const int32_t* positions;
  uint64_t position_count;
  const chunkkv_rope* rope;
  void* destination; /* as the source; may be the same */
  uint64_t destination_bytes;
} chunkkv_rotate_task;

/* Writes dense rows into a cache: row n becomes row positions[n] of the destination, bit for bit. */
typedef struct chunkkv_scatter_task {
  uint64_t struct_size;
  const void* source; /* dense [position_count, head_count, head_size] of the destination's dtype */
  uint64_t source_bytes;
  const int32_t* positions; /* distinct */
  uint64_t position_count;
  const chunkkv_rows* destination;
} chunkkv_scatter_task;

#define CHUNKKV_DIGEST_BLOCK_BYTES 16384

/* XXH3-64 (seed 0) of consecutive blocks of CHUNKKV_DIGEST_BLOCK_BYTES of a tensor's bytes, the last one possibly
 * shorter. The digest that an entry records of a tensor is the XXH3-128 of these words, little-endian, in order. */
typedef struct chunkkv_digest_task {
  uint64_t struct_size;
  const void* data; /* of any alignment, 16 is fastest; may be written by earlier tasks of the same batch */
  uint64_t size_bytes;
  uint64_t* block_digests;     /* out: [ceil(size_bytes / CHUNKKV_DIGEST_BLOCK_BYTES)], in the memory where data is */
  uint64_t block_digest_count; /* at least so many */
  chunkkv_memory_kind memory_kind;
  int32_t device; /* CUDA ordinal, where memory_kind is CHUNKKV_DEVICE */
} chunkkv_digest_task;

typedef struct chunkkv_batch {
  uint64_t struct_size;
  const chunkkv_score_task* score;
  uint64_t score_count;
  const chunkkv_select_task* select;
  uint64_t select_count;
  const chunkkv_gather_task* gather;
  uint64_t gather_count;
  const chunkkv_rotate_task* rotate;
  uint64_t rotate_count;
  const chunkkv_scatter_task* scatter;
  uint64_t scatter_count;
  const chunkkv_digest_task* digest;
  uint64_t digest_count;
} chunkkv_batch;

/* ---- Running ---- */

typedef struct chunkkv_device chunkkv_device;

/* `name`: "cpu"; "reference", the slow specification; "cuda:N". Errors: INVALID_ARGUMENT BAD_DEVICE; UNIMPLEMENTED
 * NO_CUDA in a library without CUDA; UNAVAILABLE NO_CUDA_DEVICE. */
CHUNKKV_API chunkkv_code chunkkv_device_open(const char* name, chunkkv_device** device);
CHUNKKV_API void chunkkv_device_close(chunkkv_device* device);

/* Where batches run, and the first failure of what was enqueued there. */
typedef struct chunkkv_context chunkkv_context;

typedef struct chunkkv_context_options {
  uint64_t struct_size;
  void* stream; /* cudaStream_t; null: the legacy default stream */
  /* CUDA: a word of pinned host memory that the device can write, for this context alone. */
  uint64_t* failure;
  /* Host: calls body(argument, i) for i in [0, count), on any threads, and returns when all are done; null: the calling
   * thread does the work. */
  void (*run_parallel)(void* user, uint64_t count, void (*body)(void* argument, uint64_t i), void* argument);
  /* Called now and then, on any thread that works; not 0 ends the batch CANCELLED, and must stay so. May be null. */
  int32_t (*is_cancelled)(void* user);
  void* user; /* of both */
  /* CUDA: a kernel has at most so many blocks at a time; 0: as many as it has work for. A block runs on one
   * multiprocessor, and several may share one: a kernel occupies at most so many multiprocessors, and may fewer. */
  int32_t max_sm_count;
  int32_t reserved;
} chunkkv_context_options;

/* `options` may be null. The device may be closed before its contexts are destroyed. Errors: INVALID_ARGUMENT
 * NO_FAILURE_WORD where CUDA is given none. */
CHUNKKV_API chunkkv_code chunkkv_context_create(const chunkkv_device* device, const chunkkv_context_options* options,
                                                chunkkv_context** context);
/* Everything that was enqueued must have been waited for. */
CHUNKKV_API void chunkkv_context_destroy(chunkkv_context* context);

/* Scratch that `batch` needs, aligned to 64 bytes. Depends on counts and shapes only; no tensor is read. Here and in
 * chunkkv_enqueue, `plan` may be null for a batch that neither scores nor selects. */
CHUNKKV_API chunkkv_code chunkkv_workspace_bytes(chunkkv_context* context, const chunkkv_plan* plan,
                                                 const chunkkv_batch* batch, uint64_t* bytes);

/* Starts `batch`. Errors: INVALID_ARGUMENT BAD_TASK and others for what contradicts the plan, WORKSPACE_TOO_SMALL;
 * UNIMPLEMENTED for what the device refuses by name (DEVICE_MEMORY, SCORING_FP8, ...). */
CHUNKKV_API chunkkv_code chunkkv_enqueue(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* batch,
                                         void* workspace, uint64_t workspace_bytes);

/* Blocks until everything enqueued on the context is done. Errors: INVALID_ARGUMENT NON_FINITE_INPUT, NEGATIVE_SCORES,
 * BAD_POSITIONS; CANCELLED; INTERNAL CUDA_ERROR. */
CHUNKKV_API chunkkv_code chunkkv_wait(chunkkv_context* context);

#ifdef __cplusplus
}
#endif

#endif /* CHUNKKV_KERNELS_H_ */
