/* SPDX-License-Identifier: Apache-2.0 */
/* A guess at what a point may cost, from the nearest points that are known. */
#ifndef FL4_TUNE_KNN_H
#define FL4_TUNE_KNN_H

#include "tune/search.h"

typedef struct fl4__knn {
  int64_t n;       /* points it goes by */
  int64_t *points; /* the latest that were told */
  double *value;   /* of each: the logarithm of its rank by cost, so that neither unit nor outliers matter */
  int64_t *scratch;
} fl4__knn;

fl4_status fl4__knn_open(fl4__knn *knn);
void fl4__knn_close(fl4__knn *knn);

/* Takes in what the history knows. */
void fl4__knn_learn(fl4__knn *knn, const fl4__history *history);

/* The guess: the lower, the more promising. Something must have been learnt. */
double fl4__knn_guess(const fl4__knn *knn, const fl4__space *space, int64_t point);

#endif
