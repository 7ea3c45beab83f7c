# The MLflow server at the versions of requirements.lock.
FROM python:3.11-slim
COPY requirements.lock /tmp/
RUN sed -n 's/ *\\$//; s/^\([a-z0-9._-]*\)\[[^]]*\]/\1/; /^[a-z0-9]/p' /tmp/requirements.lock >/tmp/constraints.txt \
 && pip install --no-cache-dir --constraint /tmp/constraints.txt 'mlflow[auth]' boto3 'psycopg[binary]' \
 && useradd --system --home-dir /srv mlflow
USER mlflow
WORKDIR /srv
