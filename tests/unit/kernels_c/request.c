#include "request.h"

#include <string.h>

/* Keys of one chunk in each layer point where the queries do. */
static int first_of_hot_chunk(int layer) { return layer == 0 ? 6 : 24; }

static void fill(request* r, int layer) {
  const int hot = first_of_hot_chunk(layer);
  int t, i;
  for (t = 0; t < TOKENS; ++t) {
    for (i = 0; i < HEADS * SIZE; ++i) {
      r->keys[layer][t * HEADS * SIZE + i] =
          (t >= hot && t < hot + 6 ? 2.0f : 0.0f) + 0.001f * (float)((t * 7 + i) % 11);
    }
  }
  for (i = 0; i < WINDOW * QUERY_HEADS * SIZE; ++i) r->queries[layer][i] = 1.0f;
}

static void make_layer(request* r, int layer) {
  chunkkv_attention_shape* shape = &r->layers[layer];
  chunkkv_rows* rows = &r->rows[layer];
  chunkkv_dense* queries = &r->query_views[layer];
  chunkkv_score_task* score = &r->score[layer];
  chunkkv_select_task* select = &r->select[layer];
  chunkkv_gather_task* gather = &r->gather[layer];

  shape->struct_size = sizeof(*shape);
  shape->query_head_count = QUERY_HEADS;
  shape->kv_head_count = HEADS;
  shape->key_head_size = SIZE;
  shape->value_head_size = 0;
  shape->dtype = CHUNKKV_F32;

  rows->struct_size = sizeof(*rows);
  rows->data = r->keys[layer];
  rows->token_count = TOKENS;
  rows->head_count = HEADS;
  rows->head_size = SIZE;
  rows->token_stride_bytes = HEADS * SIZE * (int64_t)sizeof(float);
  rows->head_stride_bytes = SIZE * (int64_t)sizeof(float);
  rows->dtype = CHUNKKV_F32;
  rows->memory_kind = CHUNKKV_HOST;

  queries->struct_size = sizeof(*queries);
  queries->data = r->queries[layer];
  queries->element_count = WINDOW * QUERY_HEADS * SIZE;
  queries->dtype = CHUNKKV_F32;

  score->struct_size = sizeof(*score);
  score->layer = layer;
  score->keys = rows;
  score->queries = queries;
  score->token_scores = r->scores[layer];
  score->token_score_count = PAST;

  r->score_lists[layer] = r->scores[layer];
  select->struct_size = sizeof(*select);
  select->group = layer;
  select->budget = BUDGET;
  select->token_scores = &r->score_lists[layer];
  select->token_score_count = 1;
  select->positions = r->positions[layer];
  select->retained_mass = &r->mass[layer];

  gather->struct_size = sizeof(*gather);
  gather->source = rows;
  gather->positions = r->positions[layer];
  gather->position_count = BUDGET;
  gather->destination = r->kept[layer];
  gather->destination_bytes = sizeof(r->kept[layer]);
}

void make_request(request* r) {
  int layer;
  memset(r, 0, sizeof(*r));
  for (layer = 0; layer < LAYERS; ++layer) {
    fill(r, layer);
    make_layer(r, layer);
  }
  r->shape.struct_size = sizeof(r->shape);
  r->shape.token_count = TOKENS;
  r->shape.layers = r->layers;
  r->shape.layer_count = LAYERS;
  r->shape.score_source = "query_window";

  r->spec.struct_size = sizeof(r->spec);
  r->spec.policy = "chunk_kv";
  r->spec.set_fields = CHUNKKV_SPEC_MAX_TOKENS | CHUNKKV_SPEC_WINDOW_LENGTH | CHUNKKV_SPEC_CHUNK_LENGTH;
  r->spec.max_tokens = BUDGET;
  r->spec.window_length = WINDOW;
  r->spec.chunk_length = 6;

  r->batch.struct_size = sizeof(r->batch);
  r->batch.score = r->score;
  r->batch.score_count = LAYERS;
  r->batch.select = r->select;
  r->batch.select_count = LAYERS;
  r->batch.gather = r->gather;
  r->batch.gather_count = LAYERS;
}
