/* A small request: one prompt of two layers with planted token scores, of which two chunks are kept. */
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_C_REQUEST_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_C_REQUEST_H_

#include "chunkkv/kernels.h"

enum { TOKENS = 40, WINDOW = 4, PAST = TOKENS - WINDOW, HEADS = 2, QUERY_HEADS = 4, SIZE = 8, LAYERS = 2, BUDGET = 16 };

typedef struct request {
  float keys[LAYERS][TOKENS * HEADS * SIZE];
  float queries[LAYERS][WINDOW * QUERY_HEADS * SIZE];
  float scores[LAYERS][PAST];
  int32_t positions[LAYERS][BUDGET];
  double mass[LAYERS];
  float kept[LAYERS][BUDGET * HEADS * SIZE];
  const float* score_lists[LAYERS];
  chunkkv_attention_shape layers[LAYERS];
  chunkkv_shape shape;
  chunkkv_spec spec;
  chunkkv_rows rows[LAYERS];
  chunkkv_dense query_views[LAYERS];
  chunkkv_score_task score[LAYERS];
  chunkkv_select_task select[LAYERS];
  chunkkv_gather_task gather[LAYERS];
  chunkkv_batch batch;
} request;

/* chunk_kv by queries, budget BUDGET, chunks of 6. */
void make_request(request* r);

#endif /* CHUNKKV_TESTS_UNIT_KERNELS_C_REQUEST_H_ */
