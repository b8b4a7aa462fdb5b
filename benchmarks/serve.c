/* Runs a SavedModel by TensorFlow's C API, without Python.

   serve FOLDER INPUT OUTPUT BATCH HEIGHT WIDTH CHANNELS [REPEATS]

   INPUT holds float32 images, OUTPUT gets the float32 probabilities; with REPEATS the seconds of
   one call are printed. The names are those of the signature `serving_default` of an export with
   --tensors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tensorflow/c/c_api.h"

static TF_Status *status;

static void check(int fine, const char *what) {
  if (fine && TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, fine ? TF_Message(status) : "failed");
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 8) {
    fprintf(stderr, "serve FOLDER INPUT OUTPUT BATCH HEIGHT WIDTH CHANNELS [REPEATS]\n");
    return 2;
  }
  status = TF_NewStatus();
  const char *tags[] = {"serve"};
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(1, argv[1]);

  int64_t shape[4];
  size_t bytes = sizeof(float);
  for (int i = 0; i < 4; i++) bytes *= (size_t)(shape[i] = atoll(argv[4 + i]));
  TF_Tensor *images = TF_AllocateTensor(TF_FLOAT, shape, 4, bytes);
  FILE *file = fopen(argv[2], "rb");
  check(file && fread(TF_TensorData(images), 1, bytes, file) == bytes, argv[2]);
  fclose(file);

  TF_Output input = {TF_GraphOperationByName(graph, "serving_default_images"), 0};
  TF_Output output = {TF_GraphOperationByName(graph, "StatefulPartitionedCall"), 0};
  check(input.oper && output.oper, "finding the signature's names");
  int repeats = argc > 8 ? atoi(argv[8]) : 0;
  TF_Tensor *answer = NULL;
  double begun = 0;
  for (int i = 0; i <= repeats; i++) {
    if (i == 1) begun = now(); /* the first call prepares the session */
    if (answer) TF_DeleteTensor(answer);
    TF_SessionRun(session, NULL, &input, &images, 1, &output, &answer, 1, NULL, 0, NULL, status);
    check(1, "running");
  }
  if (repeats) printf("%.6f\n", (now() - begun) / repeats);
  file = fopen(argv[3], "wb");
  bytes = TF_TensorByteSize(answer);
  check(file && fwrite(TF_TensorData(answer), 1, bytes, file) == bytes, argv[3]);
  check(fclose(file) == 0, argv[3]);
  TF_DeleteTensor(answer);
  TF_DeleteTensor(images);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteGraph(graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteStatus(status);
  return 0;
}
